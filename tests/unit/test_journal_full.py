"""A journal that cannot be written: new jobs are refused, those that run go on."""

import asyncio
import sqlite3
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from rbee.v1 import job_pb2, operation_pb2
from rbee_queen.journal import journal as journal_module
from rbee_queen.journal.journal import JournalUnwritableError
from rbee_queen.journal.stored import StoredLog
from rbee_shared.errors import DataLossError
from rbee_shared.jobs.log import JobLog
from rbee_shared.jobs.runner import running_jobs
from tests.journals import (
    HeldJournal,
    followed,
    held_journal,
    humans,
    infer,
    plain,
    read,
    rows_in,
    said,
    text_of,
    tokens,
)

BIG = "x" * 1_500


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal_module, "JOURNAL_RETRY_S", 0.01)


async def refused(held: HeldJournal) -> JournalUnwritableError:
    """Wait until the journal takes no new job and return why."""
    async with asyncio.timeout(10):
        while True:
            try:
                held.journal.check()
            except JournalUnwritableError as error:
                return error
            await asyncio.sleep(0)


@asynccontextmanager
async def full(held: HeldJournal) -> AsyncGenerator[None]:
    """Have no room on the disk for the block."""
    await held.sql("PRAGMA max_page_count = 1")  # as many as there are
    try:
        yield
    finally:
        await held.sql("PRAGMA max_page_count = 1000000")


async def test_a_full_disk_refuses_new_jobs_and_hurts_no_other(tmp_path: Path) -> None:
    file = tmp_path / "j"
    async with held_journal(file) as held:
        entry, log = held.begin("j-1")
        await held.settled()
        async with full(held):
            for number in range(20):
                log.narrate(said(f"{number} {BIG}"))
            error = await refused(held)
            assert error.reason == "JOURNAL_UNWRITABLE"
            assert "database or disk is full" in str(error)
            assert "free some space" in error.hint
            assert len(humans(read(log))) == 20
            log.complete(tokens("still "))
            log.complete(tokens("here"))
            assert text_of(read(log)) == "still here"
            assert len(humans(rows_in(file))) < 20
        await held.settled()
        held.journal.check()
        log.complete(tokens("!"))
        held.end(entry, log)
        await held.settled()
        assert isinstance(entry.log, StoredLog)
        assert plain(await followed(entry.log)) == plain(read(log))
        assert text_of(rows_in(file)) == "still here!"
        assert [human.split()[0] for human in humans(rows_in(file))] == [str(n) for n in range(20)]


async def test_what_is_replaced_while_the_disk_is_full_is_not_written_later(
    tmp_path: Path,
) -> None:
    file = tmp_path / "j"
    async with held_journal(file) as held:
        _, log = held.begin("j-1", narrations_max=10)
        log.narrate(said("0 %", progress=0))
        await held.settled()
        async with full(held):
            log.narrate(said(f"1 % {BIG * 3}", progress=1))
            await refused(held)
            for number in range(50):
                log.narrate(said(str(number)))
            log.narrate(said("2 %", progress=2))
        await held.settled()
        assert plain(read(JobLog(events=rows_in(file)))) == plain(read(log))
        assert [human for human in humans(rows_in(file)) if "%" in human] == ["2 %"]


async def test_a_job_that_ends_on_a_full_disk_is_written_when_there_is_room(
    tmp_path: Path,
) -> None:
    file = tmp_path / "j"
    async with held_journal(file) as held:
        entry, log = held.begin("j-1")
        await held.settled()
        async with full(held):
            log.narrate(said(BIG * 3))
            await refused(held)
            held.end(entry, log)
            story = plain(await followed(log))
        await held.settled()
        assert isinstance(entry.log, StoredLog)
        assert plain(await followed(entry.log)) == story


async def test_the_runner_takes_no_job_that_cannot_be_written_but_looks_things_up(
    tmp_path: Path,
) -> None:
    async def execute(_: operation_pb2.Operation) -> operation_pb2.Result:
        return operation_pb2.Result()

    async with (
        held_journal(tmp_path / "j") as held,
        running_jobs(execute, who="queen", recorder=held.journal) as runner,
    ):

        def submit(job_id: str, operation: operation_pb2.Operation) -> None:
            job = job_pb2.Job(id=job_id, operation=operation)
            runner.submit(job, timeout_s=9.0, lease_s=None)

        submit("j-1", infer())
        await held.settled()
        _, log = held.begin("told")
        async with full(held):
            log.narrate(said(BIG * 3))
            await refused(held)
            with pytest.raises(JournalUnwritableError):
                submit("j-2", infer())
            assert runner.registry.find("j-2") is None
            submit("j-1", infer())  # known
            submit("j-3", operation_pb2.Operation(status=operation_pb2.StatusOperation()))
        await held.settled()
        submit("j-2", infer())
        assert (await followed(runner.registry.get("j-2").log))[-1].state.state


async def test_a_file_that_may_only_be_read_refuses_new_jobs(tmp_path: Path) -> None:
    file = tmp_path / "j"
    async with held_journal(file) as held:
        _, log = held.begin("j-1")
        await held.settled()
        await held.sql("PRAGMA query_only = ON")
        log.complete(tokens("a"))
        assert "readonly" in str(await refused(held))
        assert text_of(read(log)) == "a"
        await held.sql("PRAGMA query_only = OFF")
        await held.settled()
        assert text_of(rows_in(file)) == "a"


async def test_a_file_that_somebody_else_holds_is_written_when_it_is_free(tmp_path: Path) -> None:
    file = tmp_path / "j"
    async with held_journal(file) as held:
        _, log = held.begin("j-1")
        await held.settled()
        await held.sql("PRAGMA busy_timeout = 1")
        other = sqlite3.connect(file, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        log.complete(tokens("a"))
        assert "locked" in str(await refused(held))
        other.execute("ROLLBACK")
        other.close()
        await held.settled()
        held.journal.check()
        assert text_of(rows_in(file)) == "a"


async def test_forgetting_that_fails_leaves_nothing_half_done(tmp_path: Path) -> None:
    file = tmp_path / "j"
    async with held_journal(file) as held:
        _, log = held.begin("j-1")
        log.complete(tokens("a"))
        await held.settled()
        await held.sql(
            "CREATE TEMP TRIGGER fails BEFORE INSERT ON events WHEN NOT new.is_text"
            " BEGIN SELECT raise(ABORT, 'no room'); END"
        )
        with pytest.raises(DataLossError, match="no room"):
            await held.journal.thread.forget_texts(1)
        await held.sql("DROP TRIGGER fails")
        log.complete(tokens("b"))
        await held.settled()
        assert text_of(rows_in(file)) == "ab"


async def test_an_id_is_taken_again_before_its_old_job_has_left_the_file(tmp_path: Path) -> None:
    file = tmp_path / "j"
    async with held_journal(file) as held:
        entry, log = held.begin("j-1")
        held.end(entry, log)
        await held.settled()
        held.registry.drop("j-1")
        entry, log = held.begin("j-1")
        log.complete(tokens("new"))
        await held.settled()
        held.journal.check()
        assert rows_in(file, 1) == []
        assert text_of(rows_in(file, entry.number)) == "new"


async def test_a_job_forgotten_before_it_was_written_makes_room_for_its_id(
    tmp_path: Path,
) -> None:
    file = tmp_path / "j"
    async with held_journal(file) as held:
        with held.stopped():
            for text in ("old", "new"):
                entry, log = held.begin("j-1")
                log.complete(tokens(text))
                held.end(entry, log)
                await asyncio.sleep(0)
                await asyncio.sleep(0)
                if text == "old":
                    held.registry.drop("j-1")
        await held.settled()
        held.journal.check()
        assert text_of(await followed(entry.log)) == "new"
