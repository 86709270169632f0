"""What the journal forgets, and what it never does."""

import asyncio
from contextlib import aclosing
from pathlib import Path
from time import time

import pytest

from rbee.v1 import job_pb2, operation_pb2
from rbee_queen.journal import retention
from rbee_queen.journal.retention import tidy, tidying
from rbee_queen.journal.stored import StoryForgottenError
from rbee_shared.errors import JobNotFoundError
from rbee_shared.jobs import registry as registry_module
from rbee_shared.jobs.log import JobLog
from rbee_shared.jobs.registry import LOOKUPS_KEPT_MAX, JobEntry
from rbee_shared.limits import BATCH_EVENTS_MAX, JOURNAL_KEPT_S, MIB, TEXT_KEPT_S
from tests.journals import (
    COMPLETED,
    HeldJournal,
    followed,
    held_journal,
    humans,
    rows_in,
    said,
    text_of,
    tokens,
    until,
)

STATUS = operation_pb2.Operation(status=operation_pb2.StatusOperation())
NOW_S = time()


async def add_ended(held: HeldJournal, job_id: str, *, end_s: float, told: int = 1) -> JobEntry:
    """Add a job that has ended and is written."""
    entry, log = held.begin(job_id)
    for number in range(told):
        log.narrate(said(f"{number} {'x' * 1_000}"))
    log.complete(tokens("answer"))
    held.end(entry, log, now_s=end_s)
    await held.settled()
    return entry


async def known(held: HeldJournal) -> list[str]:
    """Return the jobs in the file; the registry must know the same."""
    ids = [row.job.id for row in await held.journal.thread.jobs()]
    entries = [*held.registry.ended(), *held.registry.running()]
    assert sorted(ids) == sorted(entry.id for entry in entries)
    return ids


async def test_a_job_is_kept_for_so_long(tmp_path: Path) -> None:
    async with held_journal(tmp_path / "j") as held:
        held.registry.kept_s = JOURNAL_KEPT_S
        await add_ended(held, "old", end_s=NOW_S - JOURNAL_KEPT_S - 1)
        await add_ended(held, "young", end_s=NOW_S - JOURNAL_KEPT_S + 60)
        await tidy(held.journal, held.registry, NOW_S)
        assert await known(held) == ["young"]
        with pytest.raises(JobNotFoundError):
            held.registry.get("old")
        assert await held.sql("SELECT count(*) FROM events WHERE number = 1") == [(0,)]


async def test_so_many_jobs_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry_module, "JOBS_KEPT_MAX", 5)
    async with held_journal(tmp_path / "j") as held:
        for number in range(8):
            await add_ended(held, f"j-{number}", end_s=NOW_S)
        await tidy(held.journal, held.registry, NOW_S)
        assert await known(held) == [f"j-{number}" for number in range(3, 8)]


async def test_lookups_push_no_job_out_and_are_few(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry_module, "JOBS_KEPT_MAX", 5)
    async with held_journal(tmp_path / "j") as held:
        await add_ended(held, "job", end_s=NOW_S)
        for number in range(LOOKUPS_KEPT_MAX + 50):
            job = job_pb2.Job(id=f"look-{number}", operation=STATUS)
            look = JobEntry(job, JobLog(), NOW_S, None)
            held.registry.add(look)
            held.registry.end(look, COMPLETED, error=None, now_s=NOW_S)
        await tidy(held.journal, held.registry, NOW_S)
        assert await known(held) == ["job"]
        entries, _ = held.registry.page([], 1_000, "")
        assert len(entries) == LOOKUPS_KEPT_MAX + 1
        assert entries[0].id == f"look-{LOOKUPS_KEPT_MAX + 49}"


async def test_so_many_bytes_are_kept_the_oldest_go_first(tmp_path: Path) -> None:
    async with held_journal(tmp_path / "j") as held:
        for number in range(30):
            await add_ended(held, f"j-{number}", end_s=NOW_S, told=20)
        all_bytes = await held.journal.thread.size_bytes()
        await tidy(held.journal, held.registry, NOW_S, bytes_max=all_bytes // 2)
        ids = await known(held)
        assert 5 < len(ids) < 20
        assert ids == [f"j-{number}" for number in range(30 - len(ids), 30)]
        assert await held.journal.thread.size_bytes() <= all_bytes // 2
        await tidy(held.journal, held.registry, NOW_S, bytes_max=all_bytes // 2)
        assert await known(held) == ids


async def test_a_running_job_is_never_dropped(tmp_path: Path) -> None:
    async with held_journal(tmp_path / "j") as held:
        entry, log = held.begin("running")
        entry.create_time_s = NOW_S - 2 * JOURNAL_KEPT_S
        for number in range(100):
            log.narrate(said(f"{number} {'x' * 1_000}"))
        await add_ended(held, "ended", end_s=NOW_S)
        await tidy(held.journal, held.registry, NOW_S, bytes_max=1)
        assert await known(held) == ["running"]
        held.end(entry, log)
        await held.settled()
        assert len(humans(await followed(entry.log))) == 100


async def test_a_job_that_ended_and_is_not_written_yet_is_not_dropped_under_way(
    tmp_path: Path,
) -> None:
    async with held_journal(tmp_path / "j") as held:
        entry, log = held.begin("j-1")
        await held.settled()
        with held.stopped():
            held.end(entry, log, now_s=NOW_S - 10 * JOURNAL_KEPT_S)
            await asyncio.sleep(0)
            tidying_now = asyncio.ensure_future(tidy(held.journal, held.registry, NOW_S))
            await asyncio.sleep(0)
        await tidying_now
        await held.settled()
        held.journal.check()
        await tidy(held.journal, held.registry, NOW_S)
        assert await known(held) == []


async def test_the_text_of_an_answer_goes_long_before_its_job(tmp_path: Path) -> None:
    async with held_journal(tmp_path / "j") as held:
        held.registry.kept_s = JOURNAL_KEPT_S
        old = await add_ended(held, "old", end_s=NOW_S - TEXT_KEPT_S - 1)
        young = await add_ended(held, "young", end_s=NOW_S - TEXT_KEPT_S + 60)
        running, log = held.begin("running")
        log.complete(tokens("answer"))
        await tidy(held.journal, held.registry, NOW_S)
        assert await known(held) == ["old", "young", "running"]
        assert text_of(await followed(young.log)) == "answer"
        events = await followed(old.log)
        assert text_of(events) == ""
        assert humans(events)[-1] == "the text of the answer is not kept any more"
        held.end(running, log)
        await held.settled()
        assert text_of(await followed(running.log)) == "answer"


async def test_who_reads_a_story_while_it_is_dropped_is_told(tmp_path: Path) -> None:
    async with held_journal(tmp_path / "j") as held:
        entry = await add_ended(held, "j-1", end_s=NOW_S, told=2 * BATCH_EVENTS_MAX)
        async with asyncio.timeout(5), aclosing(entry.log.follow(0, lambda: 0.0)) as batches:
            await anext(batches)
            await tidy(held.journal, held.registry, NOW_S, bytes_max=1)
            with pytest.raises(StoryForgottenError):
                _ = [batch async for batch in batches]


async def test_tidying_goes_on_as_long_as_its_block(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "JOURNAL_TIDY_S", 0.01)
    file = tmp_path / "j"
    async with held_journal(file) as held:
        async with (
            asyncio.timeout(5),
            tidying(held.journal, held.registry, bytes_max=MIB),
        ):
            for _ in range(2):  # at its begin, and again
                await add_ended(held, "j-1", end_s=1.0)
                await until(lambda: held.registry.find("j-1") is None)
                await until(lambda: rows_in(file) == [])
        await add_ended(held, "j-1", end_s=1.0)
        assert await known(held) == ["j-1"]


async def test_tidying_outlives_a_file_that_cannot_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(retention, "JOURNAL_TIDY_S", 0.01)
    file = tmp_path / "j"
    async with held_journal(file) as held:
        await add_ended(held, "j-1", end_s=1.0)
        await held.sql("PRAGMA query_only = ON")
        async with (
            asyncio.timeout(5),
            tidying(held.journal, held.registry, bytes_max=MIB),
        ):
            await until(lambda: "readonly" in caplog.text)
            await held.sql("PRAGMA query_only = OFF")
            await until(lambda: rows_in(file) == [])
