"""How long a stream waits between two messages: not at all on an idle loop, longer under load.

The cost of a stream is per message, and a finished write says nothing about the reader, so the
only sign of overload that a server has is the lag of its own event loop. The pause grows with it,
and messages get fuller instead of more.
"""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from rbee_shared.limits import PAUSE_S_MAX

PROBE_INTERVAL_S = 0.05
LAG_S_IGNORED = 0.005  # a loop that does its work is this late now and then
PAUSE_PER_LAG = 5.0
SMOOTHING = 0.3


class Pacer:
    """The pause that streams of this process make now."""

    def __init__(self) -> None:
        self._lag_s = 0.0

    def pause_s(self) -> float:
        """Return the least time between two messages of one stream, 0 to `PAUSE_S_MAX`."""
        if self._lag_s < LAG_S_IGNORED:
            return 0.0
        return min(PAUSE_S_MAX, PAUSE_PER_LAG * self._lag_s)

    def observe(self, lag_s: float) -> None:
        """Take in how late the loop was."""
        self._lag_s += SMOOTHING * (lag_s - self._lag_s)


@asynccontextmanager
async def pacing() -> AsyncGenerator[Pacer]:
    """Measure the lag of the running loop for as long as the block runs."""
    pacer = Pacer()
    async with asyncio.TaskGroup() as tasks:
        probe = tasks.create_task(_probe(pacer), name="loop lag")
        try:
            yield pacer
        finally:
            probe.cancel()


async def _probe(pacer: Pacer) -> None:
    clock = asyncio.get_running_loop().time
    while True:
        due = clock() + PROBE_INTERVAL_S
        await asyncio.sleep(PROBE_INTERVAL_S)
        pacer.observe(max(0.0, clock() - due))
