"""Reading a daemon's log file: JSON narration becomes lines for people."""

import json
import time
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

from rbee_shared.limits import LINE_BYTES_MAX
from rbee_shared.narration.event import Level
from rbee_shared.narration.line import parse, to_human
from rbee_shared.narration.redact import clean, clean_text

POLL_S = 0.2


def shown(file: Path, count: int, *, follow: bool, as_json: bool) -> Iterator[str]:
    """Yield the newest lines, then, if asked, those to come, for ever."""
    with file.open(encoding="utf-8", errors="replace") as opened:
        kept = deque(_lines(opened), maxlen=count)
        yield from (_shown(text, as_json=as_json) for text in kept)
        while follow:
            yield from (_shown(text, as_json=as_json) for text in _lines(opened))
            time.sleep(POLL_S)


def _lines(opened: TextIO) -> Iterator[str]:
    while line := opened.readline(LINE_BYTES_MAX):
        if line.strip():
            yield line.rstrip("\n")


def _shown(text: str, *, as_json: bool) -> str:
    narration = clean(parse(text, actor="queen"))
    is_narration = narration.level != Level.DEBUG or narration.action != "output"
    if as_json:
        values = {"actor": narration.actor, "action": narration.action, "text": narration.human}
        return json.dumps(values, ensure_ascii=False)
    return to_human(narration) if is_narration else clean_text(text)
