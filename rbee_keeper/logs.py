"""Reading a daemon's log file: JSON narration becomes lines for people."""

import os
import time
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from rbee_keeper.document import to_json
from rbee_shared.limits import LINE_BYTES_MAX
from rbee_shared.narration.event import Level
from rbee_shared.narration.line import parse, to_human
from rbee_shared.narration.redact import clean, clean_text

POLL_S = 0.2


def shown(file: Path, count: int, *, follow: bool, as_json: bool) -> Iterator[str]:
    """Yield the newest lines, then, if asked, those to come, for ever."""
    with file.open("rb") as opened:
        kept = deque(_lines(opened, whole=follow), maxlen=count)
        yield from (_shown(line, as_json=as_json) for line in kept)
        while follow:
            if os.fstat(opened.fileno()).st_size < opened.tell():
                opened.seek(0)  # its writer cut it, and began anew
            yield from (_shown(line, as_json=as_json) for line in _lines(opened, whole=True))
            time.sleep(POLL_S)


def _lines(opened: BinaryIO, *, whole: bool) -> Iterator[str]:
    """Yield lines to the end of the file; `whole`: not one that is still being written."""
    while line := opened.readline(LINE_BYTES_MAX):
        if whole and not line.endswith(b"\n") and len(line) < LINE_BYTES_MAX:
            opened.seek(-len(line), os.SEEK_CUR)
            return
        if line.strip():
            yield line.decode(errors="replace").rstrip("\r\n")


def _shown(text: str, *, as_json: bool) -> str:
    narration = clean(parse(text, actor="queen"))
    is_narration = narration.level != Level.DEBUG or narration.action != "output"
    if as_json:
        values = {"actor": narration.actor, "action": narration.action, "text": narration.human}
        return to_json(values)
    return to_human(narration) if is_narration else clean_text(text)
