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

from rbee_shared.narration.event import Field, Level, Narration, Progress

FORMAT_VARIABLE = "RBEE_NARRATION"
JSON_FORMAT = "json"

_HUMAN = re.compile(r"^\[([A-Za-z0-9_.:-]+) *\] ([A-Za-z0-9_.:-]+) *: (.*)$")
_NAMES = {each.name for each in fields(Narration)}
_TEXTS = ("actor", "action", "human", "target", "correlation_id", "cute", "story")


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
    if line.startswith('{"narration"') and (narration := _from_json(line)):
        return narration
    if match := _HUMAN.match(line):
        return Narration(match[1], match[2], match[3], time())
    return Narration(actor, "output", line, time(), level=Level.DEBUG)


def write_line(narration: Narration) -> None:
    """Write a narration to stdout in the form that the parent asked for. The daemon's sink."""
    as_json = os.environ.get(FORMAT_VARIABLE) == JSON_FORMAT
    try:
        sys.stdout.write((to_json(narration) if as_json else to_human(narration)) + "\n")
        sys.stdout.flush()
    except BrokenPipeError:
        return  # the parent is gone; telling must not break the work, which ends by itself


def _from_json(line: str) -> Narration | None:
    try:
        values = json.loads(line)["narration"]
        known = {name: value for name, value in values.items() if name in _NAMES}
        known["level"] = Level(known.get("level", Level.INFO))
        if known.get("progress") is not None:
            known["progress"] = Progress(**known["progress"])
        narration = Narration(**known)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return None
    return narration if _is_well_typed(narration) else None


def _is_well_typed(narration: Narration) -> bool:
    texts = [getattr(narration, name) for name in _TEXTS]
    fields = cast("Any", narration.fields)
    progress = narration.progress
    return (
        all(isinstance(text, str) for text in texts)
        and isinstance(cast("Any", narration.time_s), int | float)
        and isinstance(fields, dict)
        and all(isinstance(value, Field) for value in cast("dict[str, Any]", fields).values())
        and (progress is None or _is_progress(progress))
    )


def _is_progress(progress: Progress) -> bool:
    return (
        isinstance(cast("Any", progress.done), int)
        and isinstance(cast("Any", progress.total), int)
        and isinstance(cast("Any", progress.unit), str)
        and isinstance(cast("Any", progress.rate), int | float)
        and isinstance(cast("Any", progress.remaining_s), int | float | None)
    )
