"""A narration as one line of text, in two forms; both parse back.

For people, actor and action padded to 10 and 15: `[queen     ] spawn_start    : starting ...`.
For a parent process, one JSON object with the key `narration`. A process writes JSON when its
parent asked for it in the environment (`RBEE_NARRATION=json`).
"""

import json
import os
import re
import sys
from dataclasses import asdict, fields
from time import time
from typing import Any, cast

from rbee_shared.narration.event import Level, Narration, Progress

FORMAT_VARIABLE = "RBEE_NARRATION"
JSON_FORMAT = "json"

_HUMAN = re.compile(r"^\[([A-Za-z0-9_.:-]+) *\] ([A-Za-z0-9_.:-]+) *: (.*)$")
_NAMES = {each.name for each in fields(Narration)}


def to_human(narration: Narration) -> str:
    """Return the form for people."""
    return f"[{narration.actor:<10}] {narration.action:<15}: {narration.human}"


def to_json(narration: Narration) -> str:
    """Return the form for a parent process."""
    return json.dumps({"narration": asdict(narration)}, ensure_ascii=False)


def parse(line: str, *, actor: str) -> Narration:
    """Read a line of either form; any other text becomes a narration of `actor` at debug level.

    Never fails: whatever a child writes is worth passing on.
    """
    if line.startswith('{"narration"'):
        try:
            return _from_json(json.loads(line)["narration"])
        except (ValueError, TypeError, KeyError, AttributeError):
            pass
    if match := _HUMAN.match(line):
        return Narration(match[1], match[2], match[3], time())
    return Narration(actor, "output", line, time(), level=Level.DEBUG)


def write_line(narration: Narration) -> None:
    """Write a narration to stdout in the form that the parent asked for. The daemon's sink."""
    as_json = os.environ.get(FORMAT_VARIABLE) == JSON_FORMAT
    sys.stdout.write((to_json(narration) if as_json else to_human(narration)) + "\n")
    sys.stdout.flush()


def _from_json(values: dict[str, Any]) -> Narration:
    known = {name: value for name, value in values.items() if name in _NAMES}
    progress = cast("dict[str, Any] | None", known.get("progress"))
    known["level"] = Level(known.get("level", Level.INFO))
    known["progress"] = None if progress is None else Progress(**progress)
    return Narration(**known)
