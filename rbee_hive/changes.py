"""Telling watchers that something changed, without saying what."""

import asyncio


class Changes:
    """A bell that any number of watchers wait for."""

    def __init__(self) -> None:
        self._rung = asyncio.Event()
        self.count = 0

    def ring(self) -> None:
        """Wake all who wait."""
        self.count += 1
        self._rung.set()
        self._rung = asyncio.Event()

    async def wait(self, seen: int, timeout_s: float) -> None:
        """Return once it was rung more often than `seen` times, or after `timeout_s`."""
        if self.count != seen:
            return
        try:
            async with asyncio.timeout(timeout_s):
                await self._rung.wait()
        except TimeoutError:
            return
