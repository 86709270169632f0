"""Journals for tests: real files, a hand on the thread that writes them, stories to compare."""

import asyncio
import shutil
import sqlite3
import threading
from collections.abc import AsyncGenerator, Callable, Generator, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing, asynccontextmanager, closing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from time import time
from typing import Any, TypeVar

from rbee.v1 import inference_pb2, job_pb2, operation_pb2
from rbee_queen.journal.journal import Journal
from rbee_queen.journal.schema import opened
from rbee_queen.journal.store import Store
from rbee_queen.journal.thread import JournalThread
from rbee_shared.jobs.event_log import EventLog
from rbee_shared.jobs.log import JobLog
from rbee_shared.jobs.registry import JobEntry, JobRegistry, fingerprint_of
from rbee_shared.limits import NARRATIONS_MAX
from rbee_shared.narration.event import Narration, Progress

T = TypeVar("T")
Events = list[job_pb2.JobEvent]

PROMPT = "what nobody else may ever read"
COMPLETED = job_pb2.JOB_STATE_COMPLETED


@dataclass
class HeldJournal:
    """A journal whose thread a test can stop, and whose connection it can use there."""

    journal: Journal
    registry: JobRegistry
    connection: sqlite3.Connection
    executor: ThreadPoolExecutor
    transactions: list[str] = field(default_factory=list[str])

    async def call(self, call: Callable[[], T]) -> T:
        """Call something in the journal's thread."""
        return await asyncio.get_running_loop().run_in_executor(self.executor, call)

    async def sql(self, statement: str) -> list[Any]:
        """Execute a statement on the journal's own connection."""
        return await self.call(lambda: self.connection.execute(statement).fetchall())

    @contextmanager
    def stopped(self) -> Generator[None]:
        """Keep the journal's thread from doing anything for the block."""
        go_on = threading.Event()
        self.executor.submit(go_on.wait, 20)
        try:
            yield
        finally:
            go_on.set()

    def begin(
        self,
        job_id: str,
        *,
        operation: operation_pb2.Operation | None = None,
        private: bool = False,
        narrations_max: int = NARRATIONS_MAX,
    ) -> tuple[JobEntry, JobLog]:
        """Begin a job that the test tells by itself."""
        request = job_pb2.Job(id=job_id, operation=operation or infer(), private=private)
        log = JobLog(narrations_max=narrations_max)
        entry = JobEntry(request, log, time(), None, fingerprint_of(request.operation))
        self.registry.add(entry)
        self.journal.record(entry, log)
        log.state(job_pb2.JOB_STATE_QUEUED)
        return entry, log

    def end(self, entry: JobEntry, log: JobLog, *, now_s: float | None = None) -> None:
        """End a job as the runner does."""
        self.registry.end(entry, COMPLETED, error=None, now_s=now_s or time())
        log.state(COMPLETED)

    async def settled(self) -> None:
        """Wait until all is written."""
        async with asyncio.timeout(10):
            await self.journal.written()


@asynccontextmanager
async def held_journal(file: Path) -> AsyncGenerator[HeldJournal]:
    """Open a journal for the block; what is not written at its end is lost."""
    loop = asyncio.get_running_loop()
    with ThreadPoolExecutor(max_workers=1) as executor:
        connection = await loop.run_in_executor(executor, opened, file)
        held = HeldJournal(
            Journal(JournalThread(Store(connection), executor)), JobRegistry(), connection, executor
        )
        connection.set_trace_callback(
            lambda sql: held.transactions.append(sql) if sql.startswith("COMMIT") else None
        )
        async with asyncio.TaskGroup() as tasks:
            writing = tasks.create_task(held.journal.write())
            try:
                yield held
            finally:
                writing.cancel()
        await held.call(connection.close)


def infer() -> operation_pb2.Operation:
    """Return an operation with a prompt in it."""
    return operation_pb2.Operation(infer=operation_pb2.InferOperation(model="tiny", prompt=PROMPT))


def said(human: str, *, progress: int | None = None, target: str = "t") -> Narration:
    """Return something to tell."""
    step = None if progress is None else Progress(progress, 100)
    return Narration("hive", "step", human, time(), target=target, progress=step)


def tokens(text: str, *, index: int = 0) -> inference_pb2.Completion:
    """Return one piece of an answer."""
    return inference_pb2.Completion(text=text, token_ids=[1], index=index)


async def until(true: Callable[[], bool]) -> None:
    """Wait until something is true."""
    async with asyncio.timeout(10):
        while True:
            if true():
                return
            await asyncio.sleep(0)


def beside(file: Path, pattern: str) -> list[Path]:
    """Return the files in the journal's folder of such names, sorted."""
    return sorted(file.parent.glob(pattern))


def crashed(file: Path, copy: Path) -> Path:
    """Copy a journal as it lies there while it is written: what a killed process leaves."""
    shutil.copyfile(file, copy)
    with suppress(FileNotFoundError):
        shutil.copyfile(f"{file}-wal", f"{copy}-wal")
    return copy


def rows_in(file: Path, number: int = 1) -> Events:
    """Return what somebody else who opens the file now finds of a job."""
    with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as other:
        found = other.execute(
            "SELECT event FROM events WHERE number = ? ORDER BY sequence", (number,)
        ).fetchall()
    return [job_pb2.JobEvent.FromString(event) for (event,) in found]


def job_in(file: Path, number: int = 1) -> job_pb2.Job:
    """Return what somebody else who opens the file now finds of a job's facts."""
    with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as other:
        found = other.execute("SELECT job FROM jobs WHERE number = ?", (number,)).fetchone()
    return job_pb2.Job.FromString(found[0])


def bytes_of(file: Path) -> bytes:
    """Return every byte of the journal's files."""
    return b"".join(each.read_bytes() for each in file.parent.glob(f"{file.name}*"))


async def followed(log: EventLog, after: int = 0) -> Events:
    """Follow a story to the job's end, insist that it has no gap, and return it."""
    events: Events = []
    async with asyncio.timeout(10), aclosing(log.follow(after, lambda: 0.0)) as batches:
        async for batch in batches:
            events.extend(batch)
    return whole(events, after)


def read(log: JobLog, after: int = 0) -> Events:
    """Return what is announced after that sequence."""
    events: Events = []
    while batch := log.read(events[-1].sequence if events else after):
        events.extend(batch)
    return whole(events, after)


def whole(events: Events, after: int = 0) -> Events:
    """Insist that the ranges join."""
    for event in events:
        assert (event.first_sequence, event.sequence >= event.first_sequence) == (after + 1, True)
        after = event.sequence
    return events


def text_of(events: Iterable[job_pb2.JobEvent], index: int = 0) -> str:
    """Return the answer."""
    return "".join(e.completion.text for e in events if e.completion.index == index)


def humans(events: Iterable[job_pb2.JobEvent]) -> list[str]:
    """Return what people are told."""
    return [event.narration.human for event in events if event.HasField("narration")]


def plain(events: Sequence[job_pb2.JobEvent]) -> list[tuple[int, int, bytes]]:
    """Return a story in which all neighbouring tokens of an answer are one."""
    joined: Events = []
    for event in events:
        last = joined[-1] if joined else job_pb2.JobEvent()
        both = event.HasField("completion") and last.HasField("completion")
        if both and last.completion.index == event.completion.index:
            last.sequence, last.origin_sequence = event.sequence, event.origin_sequence
            last.completion.text += event.completion.text
            last.completion.token_ids.extend(event.completion.token_ids)
        else:
            copy = job_pb2.JobEvent()
            copy.CopyFrom(event)
            joined.append(copy)
    return [
        (event.first_sequence, event.sequence, event.SerializeToString(deterministic=True))
        for event in joined
    ]
