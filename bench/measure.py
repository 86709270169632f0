"""How the benchmarks measure: percentiles, interleaved rounds, and a process's memory."""

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from statistics import median

import psutil

SAMPLE_INTERVAL_S = 0.1
MIB = 1024 * 1024

Prepare = Callable[[], Awaitable[object]]


def percentile(values: Sequence[float], percent: float) -> float:
    """Return the smallest value that so many percent of all do not exceed; 0 of none."""
    if not values:
        return 0.0
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))]


async def interleaved(
    calls: Mapping[str, Prepare], *, rounds: int, calls_a_round: int
) -> dict[str, list[float]]:
    """Time every call in turn, round by round, so that a noisy moment falls on all of them.

    Args:
        calls: by name, what prepares a call, untimed, and returns what is awaited and timed.
        rounds: that count; one more warms up.
        calls_a_round: of each.

    Returns:
        By name, the median microseconds of each round.
    """
    found: dict[str, list[float]] = {name: [] for name in calls}
    for number in range(rounds + 1):
        for name, prepare in calls.items():
            times = [await _timed(prepare()) for _ in range(calls_a_round)]
            if number:
                found[name].append(median(times))
    return found


async def _timed(call: Awaitable[object]) -> float:
    began = time.perf_counter_ns()
    await call
    return (time.perf_counter_ns() - began) / 1000


@dataclass(slots=True)
class Memory:
    """Resident bytes of this process: at the beginning of a block, at most, and at its end."""

    before: int = 0
    peak: int = 0
    after: int = 0


@asynccontextmanager
async def memory() -> AsyncGenerator[Memory]:
    """Watch this process's memory while the block runs."""
    process = psutil.Process()
    found = Memory(before=process.memory_info().rss)
    found.peak = found.before
    async with asyncio.TaskGroup() as tasks:
        sampling = tasks.create_task(_sample(process, found))
        try:
            yield found
        finally:
            sampling.cancel()
            found.after = process.memory_info().rss


async def _sample(process: psutil.Process, found: Memory) -> None:
    while True:
        found.peak = max(found.peak, process.memory_info().rss)
        await asyncio.sleep(SAMPLE_INTERVAL_S)
