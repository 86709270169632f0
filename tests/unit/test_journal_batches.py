"""How much is written at once, and what leaves the file again."""

import asyncio
from pathlib import Path

from rbee_queen.journal.stored import StoredLog
from rbee_shared.jobs.log import JobLog
from rbee_shared.limits import JOURNAL_BATCH_JOBS_MAX
from tests.journals import (
    followed,
    held_journal,
    humans,
    plain,
    read,
    rows_in,
    said,
    text_of,
    tokens,
    whole,
)


async def test_many_events_are_few_transactions(tmp_path: Path) -> None:
    file = tmp_path / "j"
    async with held_journal(file) as held:
        entry, log = held.begin("j-1")
        with held.stopped():
            for number in range(1_000):
                log.complete(tokens(f"{number} "))
                await asyncio.sleep(0)
        held.end(entry, log)
        await held.settled()
        assert len(held.transactions) <= 4
        assert len(rows_in(file)) <= 10
        assert text_of(rows_in(file)) == "".join(f"{number} " for number in range(1_000))
        whole(await followed(entry.log))


async def test_many_jobs_are_one_transaction(tmp_path: Path) -> None:
    file = tmp_path / "j"
    async with held_journal(file) as held:
        jobs = [held.begin(f"j-{number}") for number in range(JOURNAL_BATCH_JOBS_MAX)]
        await held.settled()
        before = len(held.transactions)
        for entry, log in jobs:
            log.complete(tokens(entry.id))
            held.end(entry, log)
        await held.settled()
        assert len(held.transactions) == before + 1
        for entry, _ in jobs:
            assert isinstance(entry.log, StoredLog)
            assert text_of(await followed(entry.log)) == entry.id


async def test_more_jobs_than_one_transaction_holds_are_all_written(tmp_path: Path) -> None:
    async with held_journal(tmp_path / "j") as held:
        with held.stopped():
            jobs = [held.begin(f"j-{number}") for number in range(3 * JOURNAL_BATCH_JOBS_MAX)]
            for entry, log in jobs:
                held.end(entry, log)
        await held.settled()
        assert {type(entry.log) for entry, _ in jobs} == {StoredLog}


async def test_a_replaced_progress_leaves_the_file(tmp_path: Path) -> None:
    file = tmp_path / "j"
    async with held_journal(file) as held:
        _, log = held.begin("j-1")
        for done in range(50):
            log.narrate(said(f"{done} %", progress=done))
            log.narrate(said(f"other {done} %", progress=done, target="other"))
            await (held.settled() if done % 3 else asyncio.sleep(0))
        await held.settled()
        assert humans(rows_in(file)) == ["49 %", "other 49 %"]
        assert plain(read(log)) == plain(read(JobLog(events=rows_in(file))))


async def test_a_progress_that_is_replaced_while_it_is_written_leaves_the_file(
    tmp_path: Path,
) -> None:
    file = tmp_path / "j"
    async with held_journal(file) as held:
        _, log = held.begin("j-1")
        for done in range(20):
            with held.stopped():
                log.narrate(said(f"{done} %", progress=done))
                await asyncio.sleep(0)  # it is on its way to the file
                await asyncio.sleep(0)
                log.narrate(said(f"{done} and a half %", progress=done))
            await held.settled()
        assert humans(rows_in(file)) == ["19 and a half %"]


async def test_what_is_folded_while_it_is_written_leaves_the_file(tmp_path: Path) -> None:
    file = tmp_path / "j"
    async with held_journal(file) as held:
        _, log = held.begin("j-1", narrations_max=10)
        for round_ in range(30):
            with held.stopped():
                for number in range(round_ % 7):
                    log.narrate(said(f"{round_}.{number}"))
                await asyncio.sleep(0)
                await asyncio.sleep(0)
                for number in range(round_ % 5):  # folds what is on its way
                    log.narrate(said(f"{round_}:{number}"))
            await held.settled()
            assert plain(read(log)) == plain(read(JobLog(events=rows_in(file))))
        assert "earlier narrations are left out" in humans(rows_in(file))[0]
        assert len(rows_in(file)) <= 11


async def test_two_folds_before_one_write_count_each_narration_once(tmp_path: Path) -> None:
    file = tmp_path / "j"
    async with held_journal(file) as held:
        _, log = held.begin("j-1", narrations_max=4)
        for number in range(4):
            log.narrate(said(str(number)))
        await held.settled()
        for number in range(4, 12):
            log.narrate(said(str(number)))
        await held.settled()
        found = humans(rows_in(file))
        assert int(found[0].split()[0]) + len(found) - 1 == 12
        assert sum("left out" in human for human in found) == 1


async def test_a_watcher_who_lagged_goes_on_from_the_file_where_it_stood(tmp_path: Path) -> None:
    file = tmp_path / "j"
    async with held_journal(file) as held:
        _, log = held.begin("j-1")
        for number in range(200):
            for piece in range(7):
                log.complete(tokens(f"{number}.{piece} "))
            await held.settled()
        answer = text_of(rows_in(file))
        cursor, had = 0, ""
        while batch := log.read(cursor):  # each of these can be all that a client ever got
            for event in batch:
                cursor, had = event.sequence, had + event.completion.text
                rest = text_of(read(JobLog(events=rows_in(file)), cursor))
                assert had + rest == answer


async def test_what_watchers_saw_unwritten_is_written_as_they_saw_it(tmp_path: Path) -> None:
    file = tmp_path / "j"
    async with held_journal(file) as held:
        _, log = held.begin("j-1")
        await held.settled()
        with held.stopped():
            for number in range(5):
                log.complete(tokens(f"{number} "))
            log.announce(log.last_sequence)  # as the journal does while its disk is full
            log.complete(tokens("5 "))
            log.complete(tokens("6 "))
        await held.settled()
        ranges = [(event.first_sequence, event.sequence) for event in rows_in(file)]
        assert ranges == [(1, 1), *((n, n) for n in range(2, 7)), (7, 8)]
        for after in range(1, 7):
            rest = read(JobLog(events=rows_in(file)), after)
            assert text_of(rest) == text_of(rows_in(file))[2 * (after - 1) :]
