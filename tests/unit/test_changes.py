import asyncio

from rbee_hive.changes import Changes

LONG_S = 60.0


async def test_all_who_wait_are_woken_by_one_ring() -> None:
    changes = Changes()
    async with asyncio.timeout(5), asyncio.TaskGroup() as tasks:
        for _ in range(3):
            tasks.create_task(changes.wait(0, LONG_S))
        await asyncio.sleep(0)
        changes.ring()
    assert changes.count == 1


async def test_a_ring_between_looking_and_waiting_is_not_missed() -> None:
    changes = Changes()
    seen = changes.count
    changes.ring()
    changes.ring()
    async with asyncio.timeout(5):
        await changes.wait(seen, LONG_S)


async def test_an_old_ring_wakes_nobody() -> None:
    changes = Changes()
    changes.ring()
    waiting = asyncio.create_task(changes.wait(changes.count, LONG_S))
    await asyncio.sleep(0)
    assert not waiting.done()
    changes.ring()
    async with asyncio.timeout(5):
        await waiting


async def test_without_a_ring_the_time_ends_the_wait() -> None:
    changes = Changes()
    async with asyncio.timeout(5):
        await changes.wait(changes.count, 0.01)
    assert changes.count == 0


async def test_one_who_leaves_does_not_wake_the_others() -> None:
    changes = Changes()
    leaving = asyncio.create_task(changes.wait(0, LONG_S))
    staying = asyncio.create_task(changes.wait(0, LONG_S))
    await asyncio.sleep(0)
    leaving.cancel()
    await asyncio.wait([leaving])
    assert leaving.cancelled()
    assert not staying.done()
    changes.ring()
    async with asyncio.timeout(5):
        await staying
