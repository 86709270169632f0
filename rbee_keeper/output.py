"""All that the keeper prints about things and errors. Data to stdout, everything else to stderr.

Nothing that came from another process is ever read as Rich markup.
"""

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from rich.console import Console
from rich.table import Table
from rich.text import Text

from rbee_shared.errors import RbeeError
from rbee_shared.narration.redact import clean_text

WIDE = 10_000  # columns when piped: rich would else cut cells at 80 with an ellipsis
UNITS = ("B", "KiB", "MiB", "GiB", "TiB")
STEP = 1024

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table: its heading and the key of its value."""

    heading: str
    key: str
    kind: str = ""  # `bytes`, or nothing


def show_table(columns: Sequence[Column], rows: Sequence[Row], *, as_json: bool) -> None:
    """Print rows as a table, or as one JSON array with all their keys."""
    if as_json:
        show_json(list(rows))
        return
    table = Table(box=None, header_style="bold", pad_edge=False)
    for column in columns:
        table.add_column(column.heading, justify="right" if column.kind else "left", no_wrap=True)
    for row in rows:
        table.add_row(*(Text(_cell(row.get(column.key), column.kind)) for column in columns))
    _stdout().print(table)


def show_facts(facts: Row, *, as_json: bool) -> None:
    """Print one thing, a fact a line, or as one JSON object."""
    if as_json:
        show_json(facts)
        return
    table = Table(box=None, show_header=False, pad_edge=False)
    for name, value in facts.items():
        kind = "bytes" if name.endswith("_bytes") else ""
        label = name.removesuffix("_bytes").replace("_", " ")
        table.add_row(Text(label, style="bold"), Text(_cell(value, kind)))
    _stdout().print(table)


def show_json(document: Any) -> None:
    """Print one JSON document."""
    sys.stdout.write(json.dumps(document, indent=2, ensure_ascii=False) + "\n")


def show_error(error: RbeeError, *, as_json: bool) -> None:
    """Print what is wrong, then what to do, on stderr."""
    message, hint = clean_text(str(error)), clean_text(error.hint)
    if as_json:
        values = {"code": error.code, "reason": error.reason, "message": message, "hint": hint}
        sys.stderr.write(json.dumps({"error": values}, ensure_ascii=False) + "\n")
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


def human_bytes(size: float) -> str:
    """Return a size in binary units."""
    index = 0
    while size >= STEP and index < len(UNITS) - 1:
        size /= STEP
        index += 1
    return f"{size:.0f} B" if index == 0 else f"{size:.1f} {UNITS[index]}"


def _stdout() -> Console:
    return Console(width=None if sys.stdout.isatty() else WIDE, highlight=False)


def _cell(value: Any, kind: str) -> str:
    if value is None or value == "":
        return "-"
    if kind == "bytes" and isinstance(value, (int, float)):
        return human_bytes(value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(_cell(each, "") for each in cast("list[Any]", value)) or "-"
    if isinstance(value, dict):
        return json.dumps(value, ensure_ascii=False)
    return clean_text(str(value))
