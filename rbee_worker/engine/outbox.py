"""From the engine's thread to asyncio: what a turn told goes over at once, in order."""

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any


class Outbox:
    """What the engine's thread has to tell to the event loop that made this."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._told: list[tuple[asyncio.Queue[Any], Any]] = []

    def to(self, inbox: "asyncio.Queue[Any]") -> Callable[[Any], object]:
        """Return the way to tell something to whoever reads `inbox`."""
        return partial(self._tell, inbox)

    def flush(self) -> None:
        """Hand over what was told; to be called by the thread that told it."""
        if self._told:
            told, self._told = self._told, []
            self._loop.call_soon_threadsafe(_put, told)

    def _tell(self, inbox: "asyncio.Queue[Any]", said: object) -> None:
        self._told.append((inbox, said))


def _put(told: "list[tuple[asyncio.Queue[Any], Any]]") -> None:
    for inbox, said in told:
        inbox.put_nowait(said)
