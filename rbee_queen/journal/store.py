"""Rows in and out of the journal. Everything here runs in the journal's own thread."""

import sqlite3
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from typing import TypeAlias

from google.protobuf.message import DecodeError

from rbee.v1 import job_pb2
from rbee_shared.errors import DataLossError
from rbee_shared.jobs.merge import without_texts
from rbee_shared.limits import BATCH_EVENTS_MAX

SYNC_ALWAYS, SYNC_AT_CHECKPOINT = "FULL", "NORMAL"

STATEMENT_ROWS_MAX = 1_000

Value: TypeAlias = int | float | str | bytes | None
EventRow: TypeAlias = tuple[int, bool, bytes]
"""Sequence, whether it holds text, and the event."""


@dataclass(frozen=True, slots=True)
class JobRow:
    """One job as it is written down: everything but its prompts. `last_sequence` is its story's."""

    number: int
    fingerprint: bytes
    lease_s: float | None
    job: job_pb2.Job
    last_sequence: int = 0


@dataclass(frozen=True, slots=True)
class JobWrite:
    """What is new of one job."""

    number: int
    row: JobRow | None
    events: Sequence[EventRow]
    removed: Sequence[int]


class Store:
    """The journal's tables over one connection."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._mode = ""
        self._is_soiled = True  # whoever had the file before may have been killed

    def write(self, writes: Sequence[JobWrite]) -> None:
        """Write all of it or nothing. A job's new facts are on the disk when this returns.

        Raises:
            sqlite3.Error: nothing is written.
        """
        rows = [write.row for write in writes if write.row is not None]
        self._synchronous(SYNC_ALWAYS if rows else SYNC_AT_CHECKPOINT)
        with self._transaction():
            self._write_jobs(rows)
            self._write_events(writes)

    def _synchronous(self, mode: str) -> None:
        if mode != self._mode:
            self._connection.execute(f"PRAGMA synchronous = {mode}")
            self._mode = mode

    def _write_jobs(self, rows: Sequence[JobRow]) -> None:
        self._execute_for(
            # an id is free again before the row of its forgotten job is gone: that one is replaced
            "INSERT OR REPLACE INTO jobs (number, id, fingerprint, lease_s, job) VALUES {}"
            " ON CONFLICT (number) DO UPDATE SET job = excluded.job",
            [
                (row.number, row.job.id, row.fingerprint, row.lease_s, row.job.SerializeToString())
                for row in rows
            ],
        )

    def _write_events(self, writes: Sequence[JobWrite]) -> None:
        self._execute_for(
            "DELETE FROM events WHERE (number, sequence) IN (VALUES {})",
            [(write.number, sequence) for write in writes for sequence in write.removed],
        )
        self._execute_for(
            "INSERT OR REPLACE INTO events (number, sequence, is_text, event) VALUES {}",
            [(write.number, *event) for write in writes for event in write.events],
        )

    def _execute_for(self, statement: str, rows: Sequence[Sequence[Value]]) -> None:
        # many rows a statement, since each statement gives the interpreter's lock away and waits
        # for it again: 5 ms while the event loop is busy
        for start in range(0, len(rows), STATEMENT_ROWS_MAX):
            part = rows[start : start + STATEMENT_ROWS_MAX]
            places = ", ".join([f"({', '.join('?' * len(part[0]))})"] * len(part))
            self._connection.execute(statement.format(places), list(chain.from_iterable(part)))

    def jobs(self) -> list[JobRow]:
        """Return all jobs, the oldest first."""
        rows = self._connection.execute(
            "SELECT number, fingerprint, lease_s, job,"
            " (SELECT max(sequence) FROM events WHERE events.number = jobs.number)"
            " FROM jobs ORDER BY number"
        )
        return [
            JobRow(number, fingerprint, lease_s, job_pb2.Job.FromString(job), last or 0)
            for number, fingerprint, lease_s, job, last in rows
        ]

    def events(
        self, number: int, after: int, count: int = BATCH_EVENTS_MAX
    ) -> list[job_pb2.JobEvent]:
        """Return a job's next events after that sequence, at most `count`.

        Raises:
            DataLossError: one of them is damaged.
        """
        rows = self._connection.execute(
            "SELECT sequence, event FROM events WHERE number = ? AND sequence > ?"
            " ORDER BY sequence LIMIT ?",
            (number, after, count),
        )
        return [_event(sequence, event) for sequence, event in rows]

    def delete(self, numbers: Sequence[int]) -> None:
        """Forget jobs and their stories."""
        self._is_soiled = True
        with self._transaction():
            self._connection.executemany(
                "DELETE FROM jobs WHERE number = ?", [(number,) for number in numbers]
            )

    def numbers(self) -> list[int]:
        """Return the numbers of all jobs."""
        return [number for (number,) in self._connection.execute("SELECT number FROM jobs")]

    def numbers_with_text(self) -> list[int]:
        """Return the jobs that hold what was made of a prompt."""
        rows = self._connection.execute("SELECT DISTINCT number FROM events WHERE is_text")
        return [number for (number,) in rows]

    def forget_texts(self, number: int) -> None:
        """Put one narration in the place of all tokens of a job, and take vectors away."""
        rows = self._connection.execute(
            "SELECT event FROM events WHERE number = ? AND is_text ORDER BY sequence", (number,)
        ).fetchall()
        if not rows:
            return
        self._is_soiled = True
        kept = without_texts([job_pb2.JobEvent.FromString(event) for (event,) in rows])
        database = self._connection
        with self._transaction():
            database.execute("DELETE FROM events WHERE number = ? AND is_text", (number,))
            database.executemany(
                "INSERT INTO events (number, sequence, is_text, event) VALUES (?, ?, 0, ?)",
                [(number, event.sequence, event.SerializeToString()) for event in kept],
            )

    def scrub(self) -> None:
        """Make sure that nothing that was forgotten can be read in the file any more.

        `secure_delete` alone leaves copies in pages whose rows SQLite moved, and the write-ahead
        log has its own. It takes a second for the largest file.
        """
        if self._is_soiled:
            self._connection.execute("VACUUM")
            self._is_soiled = False
        self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def size_bytes(self) -> int:
        """Return how much of the file is in use."""
        (pages,) = self._connection.execute("PRAGMA page_count").fetchone()
        (free,) = self._connection.execute("PRAGMA freelist_count").fetchone()
        (page_bytes,) = self._connection.execute("PRAGMA page_size").fetchone()
        return (pages - free) * page_bytes

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    @contextmanager
    def _transaction(self) -> Generator[None]:
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._connection.execute("COMMIT")
        finally:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")


def _event(sequence: int, data: bytes) -> job_pb2.JobEvent:
    try:
        event = job_pb2.JobEvent.FromString(data)
    except DecodeError:
        event = None
    if event is None or event.sequence != sequence:
        raise DataLossError(f"event {sequence} is damaged")
    return event
