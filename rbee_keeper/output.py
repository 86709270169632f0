"""All that the keeper prints about things and errors. Data to stdout, everything else to stderr.

Nothing that came from another process is ever read as Rich markup.
"""

import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from rich.align import AlignMethod
from rich.console import Console
from rich.text import Text

from rbee_keeper import units
from rbee_keeper.document import to_json
from rbee_shared.errors import RbeeError
from rbee_shared.narration.redact import clean_text

GAP = "  "

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table: its heading and the key of its value."""

    heading: str
    key: str
    kind: str = ""  # `bytes`, `time`, or nothing


def show_table(
    columns: Sequence[Column], rows: Sequence[Row], *, as_json: bool, aside: bool = False
) -> None:
    """Print rows as a table, or as one JSON array with all their keys; `aside`: on stderr.

    No cell is cut: on a narrow terminal a row goes on in the next line.
    """
    if as_json:
        show_json(list(rows))
        return
    now_s = time.time()
    lines = [[Text(column.heading, style="bold") for column in columns]]
    lines += [
        [Text(_cell(row.get(column.key), column.kind, now_s)) for column in columns] for row in rows
    ]
    sides: list[AlignMethod] = ["right" if column.kind == "bytes" else "left" for column in columns]
    _print_aligned(lines, sides, aside=aside)


def show_facts(facts: Row, *, as_json: bool) -> None:
    """Print one thing, a fact a line, or as one JSON object."""
    if as_json:
        show_json(facts)
        return
    lines: list[list[Text]] = []
    now_s = time.time()
    for name, value in _flat(facts).items():
        label, kind = _label(name)
        cell = _cell(value, kind, now_s)
        if kind == "time" and value:
            cell = f"{clean_text(str(value))} ({cell})"
        lines.append([Text(label, style="bold"), Text(cell)])
    _print_aligned(lines, ["left", "left"])


def show_gap() -> None:
    """Print an empty line between two things."""
    sys.stdout.write("\n")


def show_line(text: str) -> None:
    """Print one line."""
    sys.stdout.write(clean_text(text) + "\n")


def show_json(document: Any, *, indent: int | None = 2) -> None:
    """Print one JSON document; with None for `indent` on one line."""
    sys.stdout.write(to_json(document, indent=indent) + "\n")


def show_error(error: RbeeError, *, as_json: bool) -> None:
    """Print what is wrong, then what to do, on stderr."""
    message, hint = clean_text(str(error)), clean_text(error.hint)
    if as_json:
        values = {"code": error.code, "reason": error.reason, "message": message, "hint": hint}
        sys.stderr.write(to_json({"error": values}) + "\n")
        return
    console = stderr()
    console.print(Text.assemble(("error", "red"), f": {message}"))
    if hint:
        console.print(Text.assemble(("hint", "cyan"), f": {hint}"))


def say(text: str) -> None:
    """Tell the person one line on stderr."""
    stderr().print(Text(clean_text(text)))


def stderr() -> Console:
    """Return a console on stderr that never breaks a line."""
    return Console(stderr=True, soft_wrap=True, highlight=False)


def _print_aligned(
    lines: list[list[Text]], sides: list[AlignMethod], *, aside: bool = False
) -> None:
    console = Console(soft_wrap=True, highlight=False, stderr=aside)
    widths = [max(cell.cell_len for cell in cells) for cells in zip(*lines, strict=True)]
    for line in lines:
        for cell, side, width in zip(line, sides, widths, strict=True):
            cell.align(side, width)
        row = Text(GAP).join(line)
        row.rstrip()  # else a short last cell could fill the terminal's next line with spaces
        console.print(row)


def _flat(facts: Row) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in facts.items():
        if isinstance(value, dict):
            parts = cast("dict[str, Any]", value)
            flat.update((f"{name}_{part}", held) for part, held in parts.items() if held)
        else:
            flat[name] = value
    return flat


def _label(name: str) -> tuple[str, str]:
    for ending, kind in (("_bytes", "bytes"), ("_s", "span")):
        if name.endswith(ending):
            return name.removesuffix(ending).replace("_", " "), kind
    return name.replace("_", " "), "time" if name.endswith("_time") else ""


def _cell(value: Any, kind: str, now_s: float) -> str:
    if value is None or value == "":
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        cells = (_cell(each, "", now_s) for each in cast("list[Any]", value))
        return ", ".join(cells) or "-"
    if isinstance(value, (int, float)) and kind in ("bytes", "span"):
        return units.size(value) if kind == "bytes" else units.span(value)
    if kind == "time":
        return units.age(str(value), now_s)
    return clean_text(str(value))
