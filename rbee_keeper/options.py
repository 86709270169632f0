"""Options that several commands share."""

import math
import re
from collections.abc import Callable
from typing import Annotated

import typer

from rbee_shared.narration.event import Mode

PLACE = "Where and how"
PRIORITIES = ("interactive", "batch")

Json = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]
Verbose = Annotated[
    bool, typer.Option("--verbose", "-v", help="Show everything that is told on the way.")
]
Model = Annotated[
    str,
    typer.Argument(
        metavar="MODEL",
        help="An alias (smollm2), a repository (org/repo), a GGUF file, or a full reference.",
    ),
]
Hive = Annotated[
    str,
    typer.Option(
        "--hive",
        metavar="NAME",
        help="The machine; the queen chooses if not given.",
        rich_help_panel=PLACE,
    ),
]
StoreHive = Annotated[
    str, typer.Option("--hive", metavar="NAME", help="The machine; this one if not given.")
]
AnyHive = Annotated[
    str,
    typer.Option("--hive", metavar="NAME", help="Look on this machine only; on all if not given."),
]
Device = Annotated[
    str,
    typer.Option(
        "--device",
        metavar="DEVICE",
        help="cpu:0, cuda:0 ...; kept or refused, never another.",
        rich_help_panel=PLACE,
    ),
]

INT32_MAX = 2**31 - 1  # the contract's whole numbers
INT64_MAX = 2**63 - 1
DURATION_S_MAX = 36_500 * 86_400.0  # a hundred years, more than any queen takes
_UNITS = {"": 1.0, "ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_RATE = re.compile(r"(\d+(?:\.\d+)?) *(?:([kmgt])(i?b)?|b?)(?:/s)?", re.IGNORECASE)
_POWERS = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4}
_DECIMAL, _BINARY = 1000, 1024
WEIGHTS = ("int8", "exact", "f32")
_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h|d|)")


def parse_duration(text: str) -> float:
    """Return the seconds of `30`, `30s`, `500ms`, `5m`, `1h` or `2d`.

    Raises:
        typer.BadParameter: it is none of these, or too long.
    """
    match = _DURATION.fullmatch(text.strip())
    if match is None:
        raise typer.BadParameter("a duration is like 30s, 5m or 1h")
    duration_s = float(match[1]) * _UNITS[match[2]]
    if duration_s > DURATION_S_MAX:
        raise typer.BadParameter("a duration is at most a hundred years")
    return duration_s


def parse_rate(text: str) -> int:
    """Return the bytes a second of `500K`, `10M`, `1.5GiB` or `20MB/s`; 0 is no limit.

    `K`, `M`, `G` and `T` alone are binary, as other fetchers have them; `MB` is a million bytes.

    Raises:
        typer.BadParameter: it is none of these, less than a byte, or too much.
    """
    match = _RATE.fullmatch(text.strip())
    if match is None:
        raise typer.BadParameter("a rate is in bytes a second, like 500K, 10M or 1.5GiB")
    step = _DECIMAL if (match[3] or "").lower() == "b" else _BINARY
    rate = float(match[1]) * step ** _POWERS[(match[2] or "").lower()]
    if 0 < rate < 1:
        raise typer.BadParameter("a rate is at least a byte a second; 0 is no limit")
    if rate >= INT64_MAX:
        raise typer.BadParameter("a rate is less than 8 EiB a second; 0 is no limit")
    return int(rate)


def parse_weights(text: str) -> str:
    """Return how a GGUF file is converted.

    Raises:
        typer.BadParameter: there is no such way.
    """
    word = text.strip().lower()
    if word not in WEIGHTS:
        raise typer.BadParameter(f"'{text}' is not one of {', '.join(WEIGHTS)}")
    return word


def parse_priority(text: str) -> str:
    """Return who goes first.

    Raises:
        typer.BadParameter: there is no such priority.
    """
    word = text.strip().lower()
    if word not in PRIORITIES:
        raise typer.BadParameter(f"'{text}' is not one of {', '.join(PRIORITIES)}")
    return word


def number(minimum: int = 0, maximum: int = INT32_MAX) -> Callable[[str], int]:
    """Return a parser of whole numbers in this range; typer gives it defaults too."""

    def parse(text: str) -> int:
        try:
            value = int(text)
        except ValueError as error:
            raise typer.BadParameter(f"'{text}' is not a whole number") from error
        if not minimum <= value <= maximum:
            raise typer.BadParameter(f"{value} is not from {minimum} to {maximum}")
        return value

    return parse


def decimal(text: str) -> float:
    """Return a finite number; typer gives it defaults too.

    Raises:
        typer.BadParameter: it is none.
    """
    try:
        value = float(text)
    except ValueError as error:
        raise typer.BadParameter(f"'{text}' is not a number") from error
    if not math.isfinite(value):
        raise typer.BadParameter(f"'{text}' is not finite")
    return value


def parse_mode(text: str) -> Mode:
    """Return a mode of telling.

    Raises:
        typer.BadParameter: it is none.
    """
    try:
        return Mode(text.strip().lower())
    except ValueError as error:
        raise typer.BadParameter(f"'{text}' is not one of {', '.join(Mode)}") from error


Timeout = Annotated[
    float | None,
    typer.Option(
        "--timeout",
        parser=parse_duration,
        metavar="DURATION",
        help="Stop the job after so long: 30s, 5m, 1h.",
        rich_help_panel=PLACE,
    ),
]
Priority = Annotated[
    str,
    typer.Option(
        "--priority",
        parser=parse_priority,
        metavar="WORD",
        help="interactive, or batch: let others go first.",
        rich_help_panel=PLACE,
    ),
]
Weights = Annotated[
    str | None,
    typer.Option(
        "--weights",
        parser=parse_weights,
        metavar="KIND",
        help="How a GGUF file is converted: int8, exact or f32.",
    ),
]
KeepAlive = Annotated[
    float | None,
    typer.Option(
        "--keep-alive",
        parser=parse_duration,
        metavar="DURATION",
        help="How long the worker lives on idle; for ever if not given.",
        rich_help_panel=PLACE,
    ),
]
Voice = Annotated[
    Mode | None,
    typer.Option(
        "--mode",
        parser=parse_mode,
        metavar="MODE",
        help="How to tell what happens: human, cute or story.",
    ),
]
