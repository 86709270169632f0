import asyncio
import time

from rbee_shared.jobs.pacing import Pacer, pacing
from rbee_shared.limits import PAUSE_S_MAX


def test_an_idle_loop_makes_no_pause() -> None:
    pacer = Pacer()
    assert pacer.pause_s() == 0.0
    for _ in range(100):
        pacer.observe(0.001)
    assert pacer.pause_s() == 0.0


def test_the_pause_grows_with_the_lag_to_a_bound_and_goes_again() -> None:
    pacer = Pacer()
    for _ in range(20):
        pacer.observe(0.01)
    some = pacer.pause_s()
    assert 0.0 < some < PAUSE_S_MAX
    pacer.observe(3600.0)  # a laptop that slept
    assert pacer.pause_s() == PAUSE_S_MAX
    for _ in range(60):
        pacer.observe(0.0)
    assert pacer.pause_s() == 0.0


def block(time_s: float) -> None:
    until = time.perf_counter() + time_s
    while time.perf_counter() < until:
        pass


async def test_a_blocked_loop_is_noticed_and_the_probe_ends_with_its_block() -> None:
    async with asyncio.timeout(5):
        async with pacing() as pacer:
            while pacer.pause_s() == 0.0:
                block(0.03)
                await asyncio.sleep(0)
    assert [task.get_name() for task in asyncio.all_tasks()].count("loop lag") == 0
