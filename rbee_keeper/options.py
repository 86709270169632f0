"""Options that several commands share."""

import math
import re
from collections.abc import Callable
from typing import Annotated

import typer

from rbee_shared.narration.event import Mode

Json = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]
Verbose = Annotated[
    bool, typer.Option("--verbose", "-v", help="Show everything that is told on the way.")
]
Model = Annotated[str, typer.Argument(metavar="MODEL", help="An alias (smollm2) or a reference.")]
Hive = Annotated[
    str,
    typer.Option("--hive", metavar="NAME", help="The machine; the queen chooses if not given."),
]
Device = Annotated[
    str,
    typer.Option(
        "--device", metavar="DEVICE", help="cpu:0, cuda:0 ...; kept or refused, never another."
    ),
]

INT32_MAX = 2**31 - 1  # the contract's whole numbers
INT64_MAX = 2**63 - 1
DURATION_S_MAX = 36_500 * 86_400.0  # a hundred years, more than any queen takes
_UNITS = {"": 1.0, "ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
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
    ),
]
KeepAlive = Annotated[
    float | None,
    typer.Option(
        "--keep-alive",
        parser=parse_duration,
        metavar="DURATION",
        help="How long the worker lives on idle; for ever if not given.",
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
