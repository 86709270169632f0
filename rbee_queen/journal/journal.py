"""Writing jobs down: a cursor in each log, one transaction after the other, in one thread.

A batch is what all logs have to say when the thread is free: single events while all is calm,
more under load. Watchers are shown what is written, so nothing that anybody saw is lost with this
process. When the file cannot be written, new jobs are refused; those that run go on unwritten, and
are written when it works again.
"""

import asyncio
import sqlite3
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path

from rbee.v1 import job_pb2
from rbee_queen.journal.schema import is_damage
from rbee_queen.journal.store import EventRow, JobRow, JobWrite
from rbee_queen.journal.stored import StoredLog
from rbee_queen.journal.thread import JournalThread, journal_thread
from rbee_shared.errors import ResourceExhaustedError
from rbee_shared.jobs.changes import Changes
from rbee_shared.jobs.log import JobLog
from rbee_shared.jobs.merge import holds_text, without_texts
from rbee_shared.jobs.registry import JobEntry
from rbee_shared.limits import JOURNAL_BATCH_JOBS_MAX, JOURNAL_CLOSE_S_MAX, JOURNAL_RETRY_S
from rbee_shared.narration.event import Level
from rbee_shared.narration.narrate import narrate


class JournalUnwritableError(ResourceExhaustedError):
    """The journal cannot be written now, so no new job can be promised to last."""

    reason = "JOURNAL_UNWRITABLE"
    hint = "free some space on the disk; jobs that run go on, and new ones are taken again then"

    def __init__(self, error: sqlite3.Error) -> None:
        super().__init__(f"the journal cannot be written: {error}")
        if is_damage(error):
            self.hint = "`rbee queen stop`: the next start sets the damaged journal aside"


class Journal:
    """Records jobs. Made by `opened_journal`."""

    def __init__(self, thread: JournalThread) -> None:
        self.thread = thread
        self._tracked: dict[int, _Tracked] = {}
        self._dirty: dict[int, _Tracked] = {}
        self._stirred = asyncio.Event()
        self._clean = asyncio.Event()
        self._clean.set()
        self._failure: sqlite3.Error | None = None

    def check(self) -> None:
        """Make sure that a new job could be written down.

        Raises:
            JournalUnwritableError: why it could not.
        """
        if self._failure is not None:
            raise JournalUnwritableError(self._failure)

    def record(self, entry: JobEntry, log: JobLog) -> None:
        """Write down a job from here on, to its end; then its story is read from the file."""
        for number in [n for n, old in self._tracked.items() if old.entry.id == entry.id]:
            del self._tracked[number]  # forgotten before it was written; its id is free again
        tracked = _Tracked(entry, log)
        self._tracked[entry.number] = tracked
        log.record(partial(self._stir, tracked))
        self._stir(tracked)

    def recording(self, number: int) -> bool:
        """Whether a job is still being written."""
        return number in self._tracked

    async def write(self) -> None:
        """Write what there is to write, for ever."""
        while True:
            await self._stirred.wait()
            self._stirred.clear()
            while self._dirty:
                await self._write_batch()
            self._clean.set()

    async def written(self) -> None:
        """Wait until all is written."""
        await self._clean.wait()

    def _stir(self, tracked: "_Tracked") -> None:
        if tracked.entry.number not in self._tracked:
            return
        if self._failure is not None:
            tracked.log.announce(tracked.log.last_sequence)
        self._dirty[tracked.entry.number] = tracked
        self._clean.clear()
        self._stirred.set()

    async def _write_batch(self) -> None:
        batch = list(self._dirty.values())[:JOURNAL_BATCH_JOBS_MAX]
        for tracked in batch:
            del self._dirty[tracked.entry.number]
        try:
            await self.thread.write([tracked.take() for tracked in batch])
        except sqlite3.Error as error:
            self._fail(error)
            for tracked in batch:
                self._stir(tracked)
            await asyncio.sleep(JOURNAL_RETRY_S)
            return
        self._recover()
        for tracked in batch:
            if not tracked.written():
                self._stir(tracked)
            elif tracked.log.ended:
                self._finish(tracked)

    def _finish(self, tracked: "_Tracked") -> None:
        entry, log = tracked.entry, tracked.log
        entry.log = StoredLog(self.thread, entry.number, log.last_sequence, log.origin)
        self._dirty.pop(entry.number, None)
        self._tracked.pop(entry.number, None)

    def _fail(self, error: sqlite3.Error) -> None:
        if self._failure is None:
            narrate(
                "journal_fail",
                "the journal cannot be written ({why}); no new jobs are taken",
                target="journal",
                level=Level.ERROR,
                why=str(error),
            )
        self._failure = error
        for tracked in self._tracked.values():
            tracked.log.announce(tracked.log.last_sequence)

    def _recover(self) -> None:
        if self._failure is not None:
            self._failure = None
            narrate("journal_recover", "the journal can be written again", target="journal")


class _Tracked:
    """One job's log and how far it is written."""

    def __init__(self, entry: JobEntry, log: JobLog) -> None:
        self.entry = entry
        self.log = log
        self._facts: job_pb2.Job | None = None
        self._pending: JobWrite | None = None
        self._upto = log.last_sequence
        self._texts_sequence = 0  # where it is told that a private job's texts are left out

    def take(self) -> JobWrite:
        """Return what to write: the same again until it is written."""
        if self._pending is None:
            self._pending = self._next()
        return self._pending

    def written(self) -> bool:
        """Note that it is written; return whether that was all."""
        self._pending = None
        self.log.announce(self._upto)
        return self._upto >= self.log.last_sequence

    def _next(self) -> JobWrite:
        changes = self.log.changes()
        if self.entry.request.private:
            changes = self._without_texts(changes)
        self._upto = changes.upto
        return JobWrite(self.entry.number, self._row(), _rows(changes.events), changes.removed)

    def _without_texts(self, changes: Changes) -> Changes:
        texts = [event.sequence for event in changes.events if event.HasField("completion")]
        removed = list(changes.removed)
        if texts:
            removed.append(self._texts_sequence)
            self._texts_sequence = texts[-1]
        return Changes(without_texts(changes.events), removed, changes.upto)

    def _row(self) -> JobRow | None:
        # a state is written with its event, never before it
        is_whole = self._upto >= self.log.last_sequence
        if self._facts is not None and not is_whole:
            return None
        entry = self.entry
        facts = entry.to_proto()
        facts.last_sequence = 0  # the events say so
        if not is_whole:
            facts.state = job_pb2.JOB_STATE_QUEUED
            for later in ("start_time", "end_time", "error"):
                facts.ClearField(later)
        if facts == self._facts:
            return None
        self._facts = facts
        return JobRow(entry.number, entry.fingerprint, entry.lease_s, facts)


def _rows(events: Sequence[job_pb2.JobEvent]) -> list[EventRow]:
    return [(event.sequence, holds_text(event), event.SerializeToString()) for event in events]


@asynccontextmanager
async def opened_journal(file: Path) -> AsyncGenerator[Journal]:
    """Have the journal open for the block; on exit all is written.

    Raises:
        FailedPreconditionError: the file cannot be used, or a newer rbee wrote it.
    """
    async with journal_thread(file) as thread:
        journal = Journal(thread)
        async with asyncio.TaskGroup() as tasks:
            writing = tasks.create_task(journal.write(), name="journal")
            try:
                yield journal
            finally:
                with suppress(TimeoutError):
                    async with asyncio.timeout(JOURNAL_CLOSE_S_MAX):
                        await journal.written()
                writing.cancel()
