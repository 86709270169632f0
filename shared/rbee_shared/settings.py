"""Settings: environment `RBEE_*` over `config.toml` over defaults; flags are the caller's own.

Every setting is one row of `Settings`. `[queen] listen` in the file is `RBEE_QUEEN_LISTEN` in the
environment. An unknown key is an error that names the nearest known one. `[aliases]` is in the file
alone, and its keys are the user's.
"""

import difflib
import enum
import math
import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, cast

from rbee_shared.errors import InvalidArgumentError
from rbee_shared.ids import check_name
from rbee_shared.limits import (
    ALIASES_MAX,
    JOURNAL_BYTES_MAX,
    JOURNAL_KEPT_S,
    MIB,
    REFERENCE_LENGTH_MAX,
)
from rbee_shared.narration.event import Mode

ALIASES = "aliases"

_KINDS = {bool: "true or false", int: "a whole number", float: "a number", str: "a text"}
_WORDS = {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False}


@dataclass(frozen=True, slots=True)
class Settings:
    """What a user may set. A field `a_b_c` is the key `b_c` of the section `[a]`."""

    queen_listen: str = "127.0.0.1:7833"
    queen_separate_hive: bool = False
    queen_jobs_kept_s: float = JOURNAL_KEPT_S  # jobs and their stories, after their end
    queen_journal_mib: int = JOURNAL_BYTES_MAX // MIB  # more: the oldest are forgotten
    hive_keep_alive_s: float = -1.0  # workers live on idle for so long; negative: for ever
    hive_cores: int = 0  # cores for all workers; 0: all of the machine
    hive_slots: int = 0  # requests that a worker answers at once; 0: as many as there is room for
    keeper_mode: Mode = Mode.HUMAN  # in whose voice the command line tells what happens
    aliases: Mapping[str, str] = field(
        default_factory=dict[str, str]
    )  # of models, in small letters


def load(file: Path, environment: Mapping[str, str] = os.environ) -> Settings:
    """Read the settings.

    Raises:
        InvalidArgumentError: the file cannot be read or is not TOML, a key is unknown, a value has
            a wrong type, or an alias cannot be one.
    """
    settings = Settings()
    if file.is_file():
        settings = replace(settings, **_from_file(file))
    given: dict[str, Any] = {}
    for each in fields(Settings):
        if each.name == ALIASES:
            continue
        text = environment.get(f"RBEE_{each.name.upper()}")
        if text is not None:
            given[each.name] = _typed(each.name, text)
    return replace(settings, **given)


def _from_file(file: Path) -> dict[str, Any]:
    try:
        sections = tomllib.loads(file.read_text())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidArgumentError(
            f"`{file}` is not TOML: {error}", reason="SETTINGS_MALFORMED"
        ) from error
    except OSError as error:
        raise InvalidArgumentError(
            f"cannot read `{file}`: {error.strerror}", reason="SETTINGS_UNREADABLE"
        ) from error
    values: dict[str, Any] = {}
    for section, keys in sections.items():
        if not isinstance(keys, dict):
            raise _unknown(section, file)
        if section == ALIASES:
            values[ALIASES] = _aliases(cast("dict[str, Any]", keys), file)
            continue
        for key, value in cast("dict[str, Any]", keys).items():
            name = f"{section}_{key}"
            if name not in Settings.__slots__:
                raise _unknown(f"{section}.{key}", file)
            values[name] = _typed(name, value)
    return values


def _aliases(keys: dict[str, Any], file: Path) -> dict[str, str]:
    if len(keys) > ALIASES_MAX:
        raise _malformed_alias(f"`{file}` has {len(keys)} aliases, at most {ALIASES_MAX} are taken")
    aliases: dict[str, str] = {}
    for key, value in keys.items():
        where = f"the alias `{key}` in `{file}`"
        name = _alias_name(key, where)
        if not isinstance(value, str) or not value.strip():
            raise _malformed_alias(f"{where} is not a text")
        if len(value) > REFERENCE_LENGTH_MAX:
            raise _malformed_alias(f"{where} has more than {REFERENCE_LENGTH_MAX} characters")
        if name in aliases:
            raise _malformed_alias(f"{where} is there twice, in small and in capital letters")
        aliases[name] = value.strip()
    return aliases


def _alias_name(key: str, where: str) -> str:
    try:
        return check_name(key, "alias").lower()
    except InvalidArgumentError as error:
        raise _malformed_alias(f"{where}: {error}", error.hint) from error


def _malformed_alias(message: str, hint: str = "") -> InvalidArgumentError:
    hint = hint or 'write `name = "org/repo"`, or another reference, under `[aliases]`'
    return InvalidArgumentError(message, reason="ALIAS_MALFORMED", hint=hint)


def _typed(name: str, value: Any) -> Any:
    kind = cast("type[Any]", type(getattr(Settings(), name)))
    typed = _read(kind, value) if isinstance(value, str) else _checked(kind, value)
    if typed is None:
        raise InvalidArgumentError(
            f"the setting `{_dotted(name)}` is not {_wanted(kind)}", reason="SETTING_MALFORMED"
        )
    return typed


def _wanted(kind: type[Any]) -> str:
    if issubclass(kind, enum.Enum):
        return f"one of {', '.join(each.value for each in kind)}"
    return _KINDS[kind]


def _read(kind: type[Any], text: str) -> Any:
    if kind is bool:
        return _WORDS.get(text.strip().lower())
    if issubclass(kind, enum.Enum):
        text = text.strip().lower()
    try:
        return _checked(kind, kind(text))
    except ValueError:
        return None


def _checked(kind: type, value: Any) -> Any:
    if kind is float and type(value) is int:
        value = float(value)
    if type(value) is not kind or (kind is float and not math.isfinite(value)):
        return None
    return value


def _dotted(name: str) -> str:
    return name.replace("_", ".", 1)


def _unknown(key: str, file: Path) -> InvalidArgumentError:
    known = [_dotted(name) for name in Settings.__slots__]
    near = difflib.get_close_matches(key, known, n=1, cutoff=0.3)
    return InvalidArgumentError(
        f"unknown setting `{key}` in `{file}`",
        reason="SETTING_UNKNOWN",
        hint=f"did you mean `{near[0]}`?" if near else f"known are {', '.join(known)}",
    )
