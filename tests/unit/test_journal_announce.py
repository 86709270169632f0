"""Nobody sees what is not written."""

import asyncio
from contextlib import aclosing
from pathlib import Path

from rbee.v1 import job_pb2
from rbee_queen.journal.stored import StoredLog
from tests.journals import (
    COMPLETED,
    followed,
    held_journal,
    humans,
    job_in,
    read,
    rows_in,
    said,
    text_of,
    tokens,
)

RUNNING = job_pb2.JOB_STATE_RUNNING


async def test_nothing_is_announced_before_it_is_written_and_all_of_it_after(
    tmp_path: Path,
) -> None:
    async with held_journal(tmp_path / "j") as held:
        _, log = held.begin("j-1")
        await held.settled()
        with held.stopped():
            log.narrate(said("one"))
            log.complete(tokens("two"))
            for _ in range(10):
                await asyncio.sleep(0)
            assert [event.sequence for event in read(log)] == [1]
            assert log.last_sequence == 3
        await held.settled()
        assert humans(read(log)) == ["one"]
        assert text_of(read(log)) == "two"


async def test_a_state_is_in_the_file_when_a_watcher_sees_it(tmp_path: Path) -> None:
    file = tmp_path / "j"
    async with held_journal(file) as held:
        entry, log = held.begin("j-1")

        async def watch() -> list[int]:
            seen: list[int] = []
            async with aclosing(log.follow(0, lambda: 0.0)) as batches:
                async for events in batches:
                    states = [event.state.state for event in events if event.HasField("state")]
                    seen += states
                    assert rows_in(file)[-1].sequence >= events[-1].sequence
                    if states:
                        assert job_in(file).state >= states[-1]
            return seen

        async with asyncio.timeout(10), asyncio.TaskGroup() as tasks:
            watcher = tasks.create_task(watch())
            await held.settled()
            entry.state = RUNNING
            log.state(RUNNING)
            await asyncio.sleep(0)
            log.narrate(said("working"))
            await held.settled()
            held.end(entry, log)
        assert watcher.result() == [job_pb2.JOB_STATE_QUEUED, RUNNING, COMPLETED]
        assert job_in(file).HasField("end_time")


async def test_every_event_is_in_the_file_when_a_watcher_sees_it(tmp_path: Path) -> None:
    file = tmp_path / "j"
    async with held_journal(file) as held:
        entry, log = held.begin("j-1")

        async def watch() -> str:
            text = ""
            async with aclosing(log.follow(0, lambda: 0.0)) as batches:
                async for events in batches:
                    text += text_of(events)
                    assert text_of(rows_in(file)).startswith(text)
            return text

        async with asyncio.timeout(10), asyncio.TaskGroup() as tasks:
            watcher = tasks.create_task(watch())
            for number in range(300):
                log.complete(tokens(f"{number} "))
                await asyncio.sleep(0)
            held.end(entry, log)
        assert watcher.result() == "".join(f"{number} " for number in range(300))


async def test_a_job_that_ended_at_once_has_its_facts_with_its_end(tmp_path: Path) -> None:
    file = tmp_path / "j"
    async with held_journal(file) as held:
        with held.stopped():
            entry, log = held.begin("j-1")
            await asyncio.sleep(0)
            for number in range(1_000):  # more than a message: several transactions
                log.narrate(said(str(number)))
            held.end(entry, log)
        states: set[int] = set()
        while not isinstance(entry.log, StoredLog):
            job = await held.call(lambda: job_in(file) if rows_in(file) else None)
            if job is not None:
                states.add(job.state)
                ended = rows_in(file)[-1].state.state == COMPLETED
                assert job.HasField("end_time") == (job.state == COMPLETED)
                assert job.state != COMPLETED or ended
        assert job_pb2.JOB_STATE_QUEUED in states
        assert len(humans(await followed(entry.log))) == 1_000


async def test_who_has_a_job_is_written_before_the_hive_s_first_word(tmp_path: Path) -> None:
    file = tmp_path / "j"
    async with held_journal(file) as held:
        _, log = held.begin("j-1")
        await held.settled()
        assert job_in(file).hive == ""
        log.heard("attic", 0)
        await held.settled()
        assert job_in(file).hive == "attic"
