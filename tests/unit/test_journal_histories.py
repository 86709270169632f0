"""Random histories: whoever watches, on whatever queen, has it all once and in order."""

import asyncio
import random
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from rbee_shared.jobs.log import JobLog
from rbee_shared.jobs.registry import JobEntry
from tests.journals import (
    HeldJournal,
    crashed,
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

SEEDS_EACH = 50
CURSORS_EACH = 8


@dataclass
class Client:
    """Somebody who watches now and then, and keeps what it got and where it stands."""

    cursor: int = 0
    texts: dict[int, str] = field(default_factory=lambda: {0: "", 1: ""})
    cursors: set[int] = field(default_factory=lambda: {0})

    def look(self, log: JobLog) -> None:
        batch = whole(log.read(self.cursor), self.cursor)
        for event in batch:
            self.cursor = event.sequence
            self.cursors.add(event.sequence)
            self.texts[event.completion.index] += event.completion.text


@dataclass
class History:
    """What is said, of which a process that dies takes the last with it."""

    rng: random.Random
    said: list[tuple[int, int, str]] = field(default_factory=list[tuple[int, int, str]])

    def go_on(self, log: JobLog) -> None:
        match self.rng.choice("nnpppttttttti"):
            case "n":
                log.narrate(said(f"n{log.last_sequence}"))
            case "p":
                target = self.rng.choice("abc")
                log.narrate(said(f"p{log.last_sequence}", progress=1, target=target))
            case kind:
                index, text = int(kind == "i"), f"{log.last_sequence + 1} "
                log.complete(tokens(text, index=index))
                self.said.append((log.last_sequence, index, text))

    def text(self, index: int, after: int = 0) -> str:
        return "".join(text for sequence, of, text in self.said if of == index and sequence > after)

    def cut(self, last_sequence: int) -> None:
        self.said = [each for each in self.said if each[0] <= last_sequence]


@asynccontextmanager
async def process(
    file: Path, narrations_max: int
) -> AsyncGenerator[tuple[HeldJournal, JobEntry, JobLog]]:
    """Open the journal as a queen does when it starts, and go on with its one job."""
    async with held_journal(file) as held:
        (row,) = await held.journal.thread.jobs()
        log = JobLog(narrations_max=narrations_max, events=rows_in(file))
        entry = JobEntry(row.job, log, 1.0, None, row.fingerprint, number=row.number)
        held.registry.restore(entry)
        held.journal.record(entry, log)
        yield held, entry, log


async def live(history: History, held: HeldJournal, log: JobLog, clients: list[Client]) -> None:
    for _ in range(history.rng.randint(5, 30)):
        for _ in range(history.rng.choice([1, 1, 1, 3, 12])):
            history.go_on(log)
        match history.rng.choice("wwsss-"):
            case "w":
                await held.settled()
            case "s":
                await asyncio.sleep(0)
            case _:
                pass
        history.rng.choice(clients).look(log)


@pytest.mark.parametrize("block", range(4))
async def test_random_histories(tmp_path: Path, block: int) -> None:
    for seed in range(block * SEEDS_EACH, (block + 1) * SEEDS_EACH):
        history = History(random.Random(seed))
        clients = [Client(), Client(), Client()]
        narrations_max = history.rng.choice([3, 10, 10_000])
        file = tmp_path / f"{seed}-0"
        async with held_journal(file) as held:
            _, log = held.begin("j-1", narrations_max=narrations_max)
            await held.settled()
            await live(history, held, log, clients)
            file = crashed(file, tmp_path / f"{seed}-1")
        for life in range(2, 2 + history.rng.randint(1, 3)):
            history.cut(rows_in(file)[-1].sequence)
            async with process(file, narrations_max) as (held, _, log):
                assert all(client.cursor <= log.last_sequence for client in clients)
                await live(history, held, log, clients)
                file = crashed(file, tmp_path / f"{seed}-{life}")
        history.cut(rows_in(file)[-1].sequence)
        async with process(file, narrations_max) as (held, entry, log):
            await held.settled()
            held.end(entry, log)
            await held.settled()
            late = plain(read(log))
            assert plain(await followed(entry.log)) == late
            assert plain(read(JobLog(events=rows_in(file)))) == late
            assert len(humans(rows_in(file))) <= narrations_max
            for client in clients:
                cursors = sorted(client.cursors)
                for after in history.rng.sample(cursors, min(CURSORS_EACH, len(cursors))):
                    rest = await followed(entry.log, after)
                    assert [text_of(rest, i) for i in (0, 1)] == [
                        history.text(i, after) for i in (0, 1)
                    ]
                while client.cursor < log.last_sequence:
                    client.look(log)
                assert client.texts == {i: history.text(i) for i in (0, 1)}
