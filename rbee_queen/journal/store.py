"""Rows in and out of the journal. Everything here runs in the journal's own thread."""

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass

from rbee.v1 import job_pb2
from rbee_shared.jobs.merge import texts_forgotten
from rbee_shared.limits import BATCH_EVENTS_MAX

SYNC_ALWAYS, SYNC_AT_CHECKPOINT = "FULL", "NORMAL"


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
    """What is new of one job. Event rows are sequence, whether it holds text, and the event."""

    number: int
    row: JobRow | None
    events: Sequence[tuple[int, bool, bytes]]
    removed: Sequence[int]


class Store:
    """The journal's tables over one connection."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def write(self, writes: Sequence[JobWrite]) -> None:
        """Write all of it or nothing. A job's new facts are on the disk when this returns.

        Raises:
            sqlite3.Error: nothing is written.
        """
        database = self._connection
        facts = any(write.row is not None for write in writes)
        database.execute(f"PRAGMA synchronous = {SYNC_ALWAYS if facts else SYNC_AT_CHECKPOINT}")
        database.execute("BEGIN IMMEDIATE")
        try:
            for write in writes:
                self._write(write)
            database.execute("COMMIT")
        except BaseException:
            if database.in_transaction:
                database.execute("ROLLBACK")
            raise

    def _write(self, write: JobWrite) -> None:
        database, number = self._connection, write.number
        if (row := write.row) is not None:
            database.execute(
                "INSERT INTO jobs (number, id, fingerprint, lease_s, job) VALUES (?, ?, ?, ?, ?)"
                " ON CONFLICT (number) DO UPDATE SET job = excluded.job",
                (number, row.job.id, row.fingerprint, row.lease_s, row.job.SerializeToString()),
            )
        if write.removed:
            database.executemany(
                "DELETE FROM events WHERE number = ? AND sequence = ?",
                [(number, sequence) for sequence in write.removed],
            )
        database.executemany(
            "INSERT OR REPLACE INTO events (number, sequence, is_text, event) VALUES (?, ?, ?, ?)",
            [(number, *event) for event in write.events],
        )

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
        """Return a job's next events after that sequence, at most `count`."""
        rows = self._connection.execute(
            "SELECT event FROM events WHERE number = ? AND sequence > ? ORDER BY sequence LIMIT ?",
            (number, after, count),
        )
        return [job_pb2.JobEvent.FromString(event) for (event,) in rows]

    def delete(self, numbers: Sequence[int]) -> None:
        """Forget jobs and their stories."""
        self._connection.executemany(
            "DELETE FROM jobs WHERE number = ?", [(number,) for number in numbers]
        )

    def numbers(self) -> list[int]:
        """Return the numbers of all jobs."""
        return [number for (number,) in self._connection.execute("SELECT number FROM jobs")]

    def numbers_with_text(self) -> list[int]:
        """Return the jobs that hold tokens."""
        rows = self._connection.execute("SELECT DISTINCT number FROM events WHERE is_text")
        return [number for (number,) in rows]

    def forget_texts(self, number: int) -> None:
        """Put one narration in the place of all tokens of a job."""
        row = self._connection.execute(
            "SELECT event FROM events WHERE number = ? AND is_text ORDER BY sequence DESC LIMIT 1",
            (number,),
        ).fetchone()
        if row is None:
            return
        told = texts_forgotten(job_pb2.JobEvent.FromString(row[0]))
        database = self._connection
        database.execute("BEGIN IMMEDIATE")
        database.execute("DELETE FROM events WHERE number = ? AND is_text", (number,))
        database.execute(
            "INSERT INTO events (number, sequence, is_text, event) VALUES (?, ?, 0, ?)",
            (number, told.sequence, told.SerializeToString()),
        )
        database.execute("COMMIT")

    def size_bytes(self) -> int:
        """Return how much of the file is in use."""
        (pages,) = self._connection.execute("PRAGMA page_count").fetchone()
        (free,) = self._connection.execute("PRAGMA freelist_count").fetchone()
        (page_bytes,) = self._connection.execute("PRAGMA page_size").fetchone()
        return (pages - free) * page_bytes

    def close(self) -> None:
        """Close the file."""
        self._connection.close()
