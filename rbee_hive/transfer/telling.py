"""Telling how far a transfer is: not too often, never less than before, and the end always."""

import asyncio
import time
from collections.abc import Callable, Iterable, Sequence

from rbee_hive.transfer.file import RemoteFile
from rbee_hive.transfer.progress import Tally, TransferProgress

Told = Callable[[TransferProgress], None]


class Telling:
    """Counts for one transfer, and tells."""

    def __init__(self, files: Sequence[RemoteFile], told: Told, *, interval_s: float) -> None:
        self._tally = Tally(
            tuple(each.path for each in files), tuple(each.size_bytes for each in files)
        )
        self._told = told
        self._interval_s = interval_s
        self._next_s = 0.0

    def begin(self, done_bytes: Iterable[int]) -> None:
        """Tell what is there already, file by file."""
        self._tally.begin(done_bytes, time.monotonic())
        self._tell()

    def open(self, index: int) -> None:
        """A file is at work."""
        self._tally.open(index, time.monotonic())

    def came(self, index: int, came_bytes: int, done_bytes: int) -> None:
        """Bytes of a file came; with them it has so many."""
        self._tally.came(index, came_bytes)
        self._tally.reach(index, done_bytes)
        if time.monotonic() >= self._next_s:
            self._tell()

    def close(self, index: int, *, is_whole: bool) -> None:
        """A file is whole, or is given up."""
        self._tally.close(index, is_whole=is_whole)
        if is_whole:
            self._tell()

    async def ticking(self, interval_s: float) -> None:
        """Tell again and again, until cancelled."""
        while True:
            await asyncio.sleep(interval_s)
            if time.monotonic() >= self._next_s + interval_s / 2:
                self._tell()

    def _tell(self) -> None:
        now_s = time.monotonic()
        self._next_s = now_s + self._interval_s
        self._told(self._tally.now(now_s))
