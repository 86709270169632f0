"""A journal that is damaged, too new, or no journal at all."""

import asyncio
import random
import sqlite3
from collections.abc import Callable
from contextlib import aclosing, closing, suppress
from pathlib import Path

import pytest

from rbee.v1 import job_pb2
from rbee_queen.journal.journal import opened_journal
from rbee_queen.journal.schema import DAMAGED_KEPT_MAX, MIGRATIONS, JournalTooNewError, opened
from rbee_queen.journal.store import Store
from rbee_queen.journal.stored import StoredLog, StoryForgottenError
from rbee_shared.errors import DataLossError, FailedPreconditionError
from rbee_shared.jobs.log import JobLog
from rbee_shared.jobs.registry import JobEntry
from rbee_shared.narration.context import JOB, JobContext
from tests.journals import beside, followed, held_journal, humans, read, said, tokens

JOBS = 40


async def write_some(file: Path) -> None:
    """Write jobs with stories, more than a few pages of them."""
    async with held_journal(file) as held:
        for number in range(JOBS):
            entry, log = held.begin(f"j-{number}")
            for piece in range(20):
                log.narrate(said(f"{number} {piece} {'x' * 100}"))
                log.complete(tokens(f"{piece} "))
            held.end(entry, log)
        await held.settled()


def told_while_opening(file: Path) -> list[str]:
    """Open the journal, insist that it can be written, and return what was told."""
    log = JobLog()
    JOB.set(JobContext("j-1", story=log))
    with closing(opened(file)) as connection:
        assert Store(connection).jobs() == []
        connection.execute("INSERT INTO jobs VALUES (1, 'j-1', x'', NULL, x'')")
    return humans(read(log))


def replace(data: bytes) -> Callable[[Path], None]:
    def damage(file: Path) -> None:
        file.write_bytes(data)

    return damage


def cut(count: int) -> Callable[[Path], None]:
    def damage(file: Path) -> None:
        file.write_bytes(file.read_bytes()[:count])

    return damage


def overwrite(start: int, data: bytes) -> Callable[[Path], None]:
    def damage(file: Path) -> None:
        found = bytearray(file.read_bytes())
        found[start : start + len(data)] = data
        file.write_bytes(found)

    return damage


@pytest.mark.parametrize(
    "damage",
    [
        replace(random.Random(1).randbytes(50_000)),
        replace(b"I am no database\n" * 100),
        replace(b"short"),
        cut(5_000),
        cut(60_000),
        overwrite(0, b"x" * 100),
        overwrite(4_096, b"\x00" * 8_192),
        overwrite(8_192, random.Random(2).randbytes(4_096)),
        overwrite(100, b"\xff" * 300),
    ],
    ids=["random", "text", "short", "cut", "cut late", "header", "zeroed", "page", "first page"],
)
async def test_a_damaged_journal_is_set_aside_and_a_new_one_works(
    tmp_path: Path, damage: Callable[[Path], None]
) -> None:
    file = tmp_path / "j"
    await write_some(file)
    damage(file)
    was = file.read_bytes()
    (human,) = told_while_opening(file)
    (kept,) = beside(file, "j.damaged-*")
    assert "damaged" in human
    assert kept.name in human
    assert kept.read_bytes() == was
    assert kept.stat().st_mode & 0o777 == 0o600


async def test_a_job_that_is_no_job_is_damage(tmp_path: Path) -> None:
    file = tmp_path / "j"
    for data in (b"\xff\xff\xff", job_pb2.Job(id="another").SerializeToString()):
        await write_some(file)
        with closing(sqlite3.connect(file)) as other, other:
            other.execute("UPDATE jobs SET job = ? WHERE number = 7", (data,))
        (human,) = told_while_opening(file)
        assert "j-6" in human
        file.unlink()


async def test_the_newest_of_the_damaged_are_kept(tmp_path: Path) -> None:
    file = tmp_path / "j"
    for day in range(1, 6):
        (tmp_path / f"j.damaged-2020010{day}T000000").write_text("old")
    file.write_text("I am no database\n" * 100)
    told_while_opening(file)
    kept = [each.name for each in beside(file, "j.damaged-*")]
    assert len(kept) == DAMAGED_KEPT_MAX
    assert kept[:-1] == ["j.damaged-20200104T000000", "j.damaged-20200105T000000"]


async def test_an_empty_file_is_a_new_journal(tmp_path: Path) -> None:
    (tmp_path / "j").touch()
    assert told_while_opening(tmp_path / "j") == []
    assert beside(tmp_path / "j", "j.damaged-*") == []


@pytest.mark.parametrize("missing", [False, True])
async def test_what_cannot_be_opened_is_refused_and_left_alone(
    tmp_path: Path, *, missing: bool
) -> None:
    file = tmp_path / "folder" / "j"
    if not missing:
        file.mkdir(parents=True)
    with pytest.raises(FailedPreconditionError) as error:
        async with opened_journal(file):
            raise AssertionError
    assert error.value.reason == "JOURNAL_UNUSABLE"
    assert str(file) in str(error.value)
    assert file.is_dir() == (not missing)


async def test_another_s_database_is_refused_and_left_alone(tmp_path: Path) -> None:
    file = tmp_path / "j"
    with closing(sqlite3.connect(file)) as other, other:
        other.execute("CREATE TABLE jobs (wage INTEGER)")
    with pytest.raises(FailedPreconditionError, match="already exists"):
        opened(file)
    with closing(sqlite3.connect(file)) as other:
        assert other.execute("SELECT wage FROM jobs").fetchall() == []
        assert other.execute("PRAGMA user_version").fetchone() == (0,)


async def test_a_newer_rbee_s_journal_is_refused_and_left_alone(tmp_path: Path) -> None:
    file = tmp_path / "j"
    await write_some(file)
    with closing(sqlite3.connect(file)) as other:
        other.execute(f"PRAGMA user_version = {len(MIGRATIONS) + 1}")
    with pytest.raises(JournalTooNewError) as error:
        async with opened_journal(file):
            raise AssertionError
    assert error.value.reason == "JOURNAL_TOO_NEW"
    assert str(file) in str(error.value)
    with closing(sqlite3.connect(file)) as other:
        assert other.execute("SELECT count(*) FROM jobs").fetchone() == (JOBS,)


async def test_a_file_of_no_version_is_brought_to_the_newest_once(tmp_path: Path) -> None:
    file = tmp_path / "j"
    with closing(sqlite3.connect(file)) as other:
        other.execute("PRAGMA user_version = 0")
    await write_some(file)
    await write_some_more(file)
    with closing(sqlite3.connect(file)) as other:
        assert other.execute("PRAGMA user_version").fetchone() == (len(MIGRATIONS),)
        assert other.execute("SELECT count(*) FROM jobs").fetchone() == (JOBS + 1,)


async def write_some_more(file: Path) -> None:
    async with held_journal(file) as held:
        rows = await held.journal.thread.jobs()
        assert [row.last_sequence for row in rows] == [42] * JOBS
        for row in rows:
            held.registry.restore(JobEntry(row.job, JobLog(), 1.0, None, number=row.number))
        held.begin("one more")
        await held.settled()


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE jobs SET id = CAST(x'ff41' AS TEXT) WHERE number = 7",
        "DROP TABLE events",
        "PRAGMA writable_schema = ON; UPDATE sqlite_schema SET sql = CAST(x'ffcf41' AS TEXT)",
    ],
    ids=["id", "table", "schema"],
)
async def test_what_is_no_text_and_what_is_missing_is_damage(
    tmp_path: Path, statement: str
) -> None:
    file = tmp_path / "j"
    await write_some(file)
    with closing(sqlite3.connect(file)) as other:
        other.executescript(statement)
    (human,) = told_while_opening(file)
    assert "damaged" in human


@pytest.mark.parametrize("block", range(4))
async def test_whatever_is_flipped_is_set_aside_told_or_read(tmp_path: Path, block: int) -> None:
    clean = tmp_path / "clean"
    await write_some(clean)
    data = clean.read_bytes()
    for seed in range(25 * block, 25 * block + 25):
        rng = random.Random(seed)
        file = tmp_path / str(seed)
        flipped = bytearray(data)
        for _ in range(rng.choice([1, 1, 5, 50])):
            flipped[rng.randrange(100, len(data))] ^= 1 << rng.randrange(8)
        file.write_bytes(flipped)
        async with asyncio.timeout(10), opened_journal(file) as journal:
            try:
                rows = await journal.thread.jobs()
            except DataLossError:
                continue
            for row in rows:
                log = StoredLog(journal.thread, row.number, row.last_sequence, ("", 0))
                # a bit inside of an event that still is one is nobody's to find
                with suppress(StoryForgottenError, DataLossError):
                    async with aclosing(log.follow(0, lambda: 0.0)) as batches:
                        async for batch in batches:
                            assert batch


async def test_a_damaged_event_is_told_to_who_reads_it_and_to_nobody_else(tmp_path: Path) -> None:
    file = tmp_path / "j"
    await write_some(file)
    for data in (b"\xff\xff\xff", job_pb2.JobEvent(sequence=1).SerializeToString()):
        with closing(sqlite3.connect(file)) as other, other:
            other.execute("UPDATE events SET event = ? WHERE number = 7 AND sequence = 10", (data,))
        async with opened_journal(file) as journal:
            with pytest.raises(DataLossError, match="event 10 is damaged"):
                await followed(StoredLog(journal.thread, 7, 42, ("", 0)))
            assert len(await followed(StoredLog(journal.thread, 8, 42, ("", 0)))) == 42
