"""Doing operations as jobs: the one place where a job's context is set and its end is written.

An operation is a coroutine that runs inside a job and returns a typed result; all that it tells on
the way goes to the job's log, found through the context. The runner starts it in a task of its
own, so no context can leak, and writes exactly one terminal event when that task is over, however
it ends: done, failed, cancelled, out of time, or abandoned by all who watched it.
"""

import asyncio
import contextvars
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from time import time

from rbee.v1 import job_pb2, operation_pb2
from rbee_shared.contracts import wire
from rbee_shared.errors import (
    DeadlineExceededError,
    JobCancelledError,
    JobIdTakenError,
    RbeeError,
    UnavailableError,
    known,
)
from rbee_shared.jobs.log import JobLog
from rbee_shared.jobs.recorder import Recorder
from rbee_shared.jobs.registry import JobEntry, JobRegistry, fingerprint_of, strip_texts
from rbee_shared.narration.context import JOB, JobContext, Story
from rbee_shared.narration.redact import clean_text

Execute = Callable[[operation_pb2.Operation], Awaitable[operation_pb2.Result]]
Outcome = operation_pb2.Result | RbeeError


class JobRunner:
    """Runs jobs of one process. Made by `running_jobs`."""

    def __init__(
        self,
        execute: Execute,
        tasks: asyncio.TaskGroup,
        registry: JobRegistry,
        recorder: Recorder | None,
    ) -> None:
        self._execute = execute
        self._tasks = tasks
        self._recorder = recorder
        self._works: dict[str, asyncio.Task[Outcome]] = {}
        self._logs: dict[str, JobLog] = {}
        self._closed_by = ""
        self.registry = registry

    def story_of(self, job_id: str) -> Story | None:
        """Return the log of a job for what is told on its behalf; None if it does not run here."""
        return self._logs.get(job_id)

    def submit(
        self,
        request: job_pb2.Job,
        *,
        timeout_s: float,
        lease_s: float | None,
        execute: Execute | None = None,
    ) -> JobEntry:
        """Start a job, or return the one with this id if it does the same.

        Args:
            request: id, operation and terms.
            timeout_s: the job is stopped after so long.
            lease_s: it is cancelled when nobody has watched it for so long; None for never.
            execute: what does the operation; the runner's own if None.

        Raises:
            JobIdTakenError: a job with this id does something else.
            ResourceExhaustedError: too many jobs run.
            UnavailableError: the runner is closed.
            RbeeError: the job could not be recorded.
        """
        entry = self.registry.find(request.id)
        fingerprint = fingerprint_of(request.operation)
        if entry is not None:
            if entry.fingerprint != fingerprint:
                raise JobIdTakenError(request.id)
            return entry
        if self._closed_by:
            raise UnavailableError(self._closed_by, reason="STOPPING")
        now_s = time()
        request.deadline_time.CopyFrom(wire.timestamp(now_s + timeout_s))
        log = JobLog()
        entry = JobEntry(request, log, now_s, lease_s, fingerprint)
        recorder = None if entry.is_lookup else self._recorder
        if recorder is not None:
            recorder.check()
        self.registry.add(entry)
        if recorder is not None:
            recorder.record(entry, log)
        log.state(job_pb2.JOB_STATE_QUEUED)
        self._start(entry, log, timeout_s, execute or self._execute)
        return entry

    def resume(
        self, entry: JobEntry, log: JobLog, execute: Execute, *, lease_s: float | None
    ) -> None:
        """Go on with a job that another process began.

        Args:
            entry: the job, with its deadline.
            log: its story so far.
            execute: what does the rest of the operation.
            lease_s: for whoever watched it to come back; None for ever.
        """
        self.registry.restore(entry)
        if self._recorder is not None:
            self._recorder.record(entry, log)
        self._start(entry, log, wire.seconds(entry.request.deadline_time) - time(), execute)
        if lease_s is not None:
            self._begin_lease(entry, lease_s)

    def _start(self, entry: JobEntry, log: JobLog, timeout_s: float, execute: Execute) -> None:
        deadline_s = asyncio.get_running_loop().time() + timeout_s
        request = entry.request
        context = contextvars.copy_context()
        context.run(
            JOB.set,
            JobContext(
                entry.id,
                request.correlation_id,
                deadline_s,
                story=log,
                private=request.private,
                priority=request.priority,
            ),
        )
        work = self._tasks.create_task(
            self._work(entry, log, execute, deadline_s), name=entry.id, context=context
        )
        self._works[entry.id], self._logs[entry.id] = work, log
        work.add_done_callback(partial(self._end, entry, log))

    def cancel(self, job_id: str, reason: str) -> JobEntry:
        """Ask a job to stop. Idempotent; an ended job is returned as it is.

        Raises:
            JobNotFoundError: no such job.
        """
        entry = self.registry.get(job_id)
        work = self._works.get(job_id)
        if work is not None and not entry.cancel_reason:
            entry.cancel_reason = clean_text(reason) or "cancelled on request"
            work.cancel()
        return entry

    def cancel_all(self, reason: str) -> None:
        """Ask every running job to stop."""
        for entry in self.registry.running():
            self.cancel(entry.id, reason)

    @property
    def is_closed(self) -> bool:
        """Whether it takes no more jobs."""
        return bool(self._closed_by)

    def close(self, reason: str) -> None:
        """Take no new jobs and ask every running one to stop."""
        self._closed_by = reason
        self.cancel_all(reason)

    @contextmanager
    def watching(self, entry: JobEntry) -> Generator[None]:
        """Count the caller as a watcher; the job's lease begins when the last one leaves."""
        entry.watcher_count += 1
        try:
            yield
        finally:
            entry.watcher_count -= 1
            if entry.watcher_count == 0 and entry.ended:
                _forget_texts(entry)
            elif entry.watcher_count == 0 and entry.lease_s is not None:
                self._begin_lease(entry, entry.lease_s)

    def _begin_lease(self, entry: JobEntry, lease_s: float) -> None:
        loop = asyncio.get_running_loop()
        entry.unwatched_since_s = since_s = loop.time()
        loop.call_later(lease_s, self._abandon, entry, since_s, lease_s)

    def _abandon(self, entry: JobEntry, since_s: float, lease_s: float) -> None:
        if entry.watcher_count == 0 and entry.unwatched_since_s == since_s and not entry.ended:
            away = f" for {lease_s:g} s" if lease_s else ""
            self.cancel(entry.id, f"nobody watched the job{away}")

    async def _work(
        self, entry: JobEntry, log: JobLog, execute: Execute, deadline_s: float
    ) -> Outcome:
        if entry.state != job_pb2.JOB_STATE_RUNNING:
            entry.state, entry.start_time_s = job_pb2.JOB_STATE_RUNNING, time()
            log.state(job_pb2.JOB_STATE_RUNNING)
        limit = asyncio.timeout_at(deadline_s)
        try:
            async with limit:
                return await execute(entry.operation)
        except Exception as error:  # the edge: whatever ends a job is its outcome
            if limit.expired():  # and whatever its cleaning up ran into
                doing = f" while {log.last_told}" if log.last_told else ""
                return DeadlineExceededError(f"the time of the job is over{doing}")
            expected = known(error)
            if expected is None:
                logging.exception("job %s ends by a bug", entry.id)
                name = type(error).__name__
                return RbeeError(f"rbee has a bug ({name})", hint="please report it with the log")
            return expected

    def _end(self, entry: JobEntry, log: JobLog, work: asyncio.Task[Outcome]) -> None:
        del self._works[entry.id], self._logs[entry.id]
        outcome = _outcome(entry, work)
        if isinstance(outcome, operation_pb2.Result):
            log.result(outcome)
            state, error = job_pb2.JOB_STATE_COMPLETED, None
        elif isinstance(outcome, JobCancelledError):
            state, error = job_pb2.JOB_STATE_CANCELLED, outcome
        else:
            state, error = job_pb2.JOB_STATE_FAILED, outcome
        self.registry.end(entry, state, error=error, now_s=time())
        log.state(state, error)
        strip_texts(entry.operation)
        if entry.watcher_count == 0:
            _forget_texts(entry)


def _outcome(entry: JobEntry, work: asyncio.Task[Outcome]) -> Outcome:
    if work.cancelled():
        return JobCancelledError(entry.cancel_reason or "cancelled")
    outcome = work.result()
    if entry.cancel_reason and isinstance(outcome, RbeeError):
        return JobCancelledError(entry.cancel_reason)  # what cleaning up ran into is no news
    return outcome


def _forget_texts(entry: JobEntry) -> None:
    if entry.request.private and isinstance(entry.log, JobLog):
        entry.log.forget_texts()


@asynccontextmanager
async def running_jobs(
    execute: Execute,
    *,
    who: str,
    registry: JobRegistry | None = None,
    recorder: Recorder | None = None,
) -> AsyncGenerator[JobRunner]:
    """Run jobs inside the block; what still runs at its end is cancelled and waited for."""
    async with asyncio.TaskGroup() as tasks:
        runner = JobRunner(execute, tasks, registry or JobRegistry(), recorder)
        try:
            yield runner
        finally:
            runner.close(f"the {who} stops")
