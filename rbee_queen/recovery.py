"""Going on where a queen ended: its jobs from the journal, the running ones with their hives.

A running job that one hive does is taken up again where its story ends; any other ends FAILED and
says why. Whoever watched a foreground job has the time of a lease to come back to it.
"""

from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from time import time
from typing import TypeAlias

from rbee.v1 import job_pb2, operation_pb2
from rbee_queen.journal.journal import Journal
from rbee_queen.journal.store import JobRow
from rbee_queen.journal.stored import StoredLog
from rbee_shared.contracts import wire
from rbee_shared.errors import DataLossError, RbeeError, UnavailableError
from rbee_shared.jobs.log import JobLog
from rbee_shared.jobs.merge import TERMINAL
from rbee_shared.jobs.registry import JobEntry
from rbee_shared.jobs.runner import JobRunner
from rbee_shared.limits import HIVE_LEASE_S

Resume: TypeAlias = Callable[[job_pb2.Job, str, int], Awaitable[operation_pb2.Result]]
"""Follows a job on a hive after that sequence of the hive's story, and returns its result."""


class QueenRestartedError(UnavailableError):
    """The queen ended in mid-job, and the job could not be taken up again."""

    reason = "QUEEN_RESTARTED"
    hint = "run it again"


async def recover(journal: Journal, runner: JobRunner, resume: Resume) -> int:
    """Take in all that the journal knows; return how many jobs go on.

    Raises:
        DataLossError: the journal cannot be read.
    """
    rows = await journal.thread.jobs()
    ended = [row for row in rows if row.job.state in TERMINAL]
    running = [row for row in rows if row.job.state not in TERMINAL]
    for row in sorted(ended, key=lambda row: wire.seconds(row.job.end_time)):
        runner.registry.restore(_entry(row, _stored(journal, row)))
    for row in running:
        await _take_up(journal, runner, resume, row)
    return len(running)


async def _take_up(journal: Journal, runner: JobRunner, resume: Resume, row: JobRow) -> None:
    try:
        events = await _whole_story(journal, row.number)
    except DataLossError as error:
        entry = _entry(row, _stored(journal, row))
        entry.state, entry.error, entry.end_time_s = job_pb2.JOB_STATE_FAILED, error, time()
        runner.registry.restore(entry)
        return
    log = JobLog(events=events, hive=row.job.hive)
    entry = _entry(row, log)
    for event in events:
        if event.state.state == job_pb2.JOB_STATE_RUNNING:  # its row may not say so yet
            entry.state, entry.start_time_s = event.state.state, wire.seconds(event.create_time)
    cancels = entry.request.on_disconnect == job_pb2.ON_DISCONNECT_CANCEL
    runner.resume(
        entry,
        log,
        partial(_go_on, entry, resume),
        lease_s=HIVE_LEASE_S if cancels else entry.lease_s,
    )


async def _go_on(
    entry: JobEntry, resume: Resume, operation: operation_pb2.Operation
) -> operation_pb2.Result:
    hive, sequence = entry.log.origin
    if entry.request.private:
        raise QueenRestartedError("the queen ended, and a private job is written down nowhere")
    if not hive:
        raise QueenRestartedError("the queen ended before a hive had the job")
    return await resume(entry.request, hive, sequence)


async def _whole_story(journal: Journal, number: int) -> Sequence[job_pb2.JobEvent]:
    story: list[job_pb2.JobEvent] = []
    while page := await journal.thread.events(number, story[-1].sequence if story else 0):
        story.extend(page)
    return story


def _stored(journal: Journal, row: JobRow) -> StoredLog:
    return StoredLog(journal.thread, row.number, row.last_sequence, (row.job.hive, 0))


def _entry(row: JobRow, log: JobLog | StoredLog) -> JobEntry:
    job = row.job
    return JobEntry(
        job,
        log,
        wire.seconds(job.create_time),
        row.lease_s,
        row.fingerprint,
        number=row.number,
        state=job.state,
        error=_error(job),
        start_time_s=wire.seconds(job.start_time),
        end_time_s=wire.seconds(job.end_time),
    )


def _error(job: job_pb2.Job) -> RbeeError | None:
    return wire.error_from_proto(job.error) if job.HasField("error") else None
