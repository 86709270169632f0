"""Options that several commands share."""

import re
from typing import Annotated

import typer

Json = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]
Verbose = Annotated[
    bool, typer.Option("--verbose", "-v", help="Show everything that is told on the way.")
]
Hive = Annotated[str, typer.Option("--hive", help="The machine; the queen chooses if not given.")]
Device = Annotated[
    str, typer.Option("--device", help="cpu:0, cuda:0 ...; kept or refused, never another.")
]

_UNITS = {"": 1.0, "ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h|d|)")


def parse_duration(text: str) -> float:
    """Return the seconds of `30`, `30s`, `500ms`, `5m`, `1h` or `2d`.

    Raises:
        typer.BadParameter: it is none of these.
    """
    match = _DURATION.fullmatch(text.strip())
    if match is None:
        raise typer.BadParameter("a duration is like 30s, 5m or 1h")
    return float(match[1]) * _UNITS[match[2]]


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
