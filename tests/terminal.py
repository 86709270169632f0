"""A terminal that tests read: what is on its screen after everything that was written to it.

It knows what a progress display needs and refuses all else, so that every test that looks at a
screen also proves that nothing foreign commanded the terminal.
"""

import io
import re
import sys
from collections import defaultdict

import pytest
from rich.cells import cell_len

_TOKEN = re.compile(r"\x1b\[(\??[0-9;]*)([A-Za-z])|(.)", re.DOTALL)
CURSOR = {("?25", "l"), ("?25", "h")}

HOSTILE = {
    "markup": "[red]x[/red] [link=https://evil.example]y[/link] [/] [bold",
    "emoji code": ":warning: :smile:",
    "braces": "{task.description} {0} %s",
    "colour": "\x1b[31mred\x1b[0m",
    "clear screen": "\x1b[2J\x1b[H",
    "window title": "\x1b]0;owned\x07",
    "hyperlink": "\x1b]8;;https://evil.example\x1b\\click\x1b]8;;\x1b\\",
    "cut sequence": "x\x1b",
    "c1": "\x9b31mred \x9d0;owned\x9c",
    "carriage return": "good\revil",
    "backspaces": "good\b\b\b\bevil",
    "lines": "one\ntwo\r\nthree\x0b\x0cfour\u2028five",
    "bell": "\x07\x00",
    "right to left": "\u202eevil\u202c \u2066x\u2069",
    "long": "word " * 1_000,
    "long word": "x" * 3_000,
    "wide": "模型" * 300,
    "combining": "e\u0301" * 200,
}


class Terminal(io.StringIO):
    """Standard output and standard error of somebody who watches."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.width = width

    def isatty(self) -> bool:
        return True

    def screen(self) -> list[str]:
        """Return the rows that are left to see, without empty ones at the end."""
        rows: defaultdict[int, dict[int, str]] = defaultdict(dict)
        row = column = 0
        for token in _TOKEN.finditer(self.getvalue()):
            parameter, command, character = token.groups()
            if command == "A":
                row -= int(parameter or 1)
                assert row >= 0, "the cursor left the screen"
            elif (parameter, command) == ("2", "K"):
                rows[row].clear()
            elif character == "\r":
                column = 0
            elif character == "\n":
                row, column = row + 1, 0
            elif character and character.isprintable():
                width = cell_len(character)
                if column + width > self.width:
                    row, column = row + 1, 0
                if width == 0 and column:
                    rows[row][column - 1] += character
                else:
                    rows[row].update(
                        zip(range(column, column + width), (character, ""), strict=False)
                    )
                column += width
            elif command != "m" and (parameter, command) not in CURSOR:
                raise AssertionError(f"the terminal was commanded: {token[0]!r}")
        found = [_text(rows[index]) for index in range(max(rows, default=-1) + 1)]
        while found and not found[-1]:
            found.pop()
        return found


def _text(cells: dict[int, str]) -> str:
    return "".join(cells.get(index, " ") for index in range(max(cells, default=-1) + 1)).rstrip()


def attach(monkeypatch: pytest.MonkeyPatch, *, width: int = 80, colour: bool = True) -> Terminal:
    """Make standard output and standard error one terminal of that width."""
    for name in ("NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE", "COLORTERM"):
        monkeypatch.delenv(name, raising=False)
    if not colour:
        monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", str(width))
    monkeypatch.setenv("LINES", "24")
    terminal = Terminal(width)
    monkeypatch.setattr(sys, "stdout", terminal)
    monkeypatch.setattr(sys, "stderr", terminal)
    return terminal
