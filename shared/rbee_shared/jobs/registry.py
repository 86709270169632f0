"""The jobs that this process knows: running ones, and ended ones for a while. No tasks here."""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass

from rbee.v1 import job_pb2, operation_pb2
from rbee_shared.contracts import wire
from rbee_shared.errors import (
    InvalidArgumentError,
    JobNotFoundError,
    RbeeError,
    ResourceExhaustedError,
)
from rbee_shared.jobs.event_log import EventLog
from rbee_shared.jobs.kinds import LOOKUPS
from rbee_shared.jobs.merge import TERMINAL
from rbee_shared.limits import JOB_KEPT_S, JOBS_KEPT_MAX, JOBS_RUNNING_MAX, PAGE_SIZE, PAGE_SIZE_MAX

LOOKUPS_KEPT_MAX = 100  # ended ones; they come many a minute and push no other job out
_PAGE_TOKEN = re.compile(r"[0-9]{1,18}")


@dataclass(slots=True)
class JobEntry:
    """One job of this process. Times are seconds since the epoch; 0 means not yet."""

    request: job_pb2.Job  # id, operation, terms: what was asked for
    log: EventLog
    create_time_s: float
    lease_s: float | None  # None: lives without watchers
    fingerprint: bytes = b""  # of the operation, prompts included
    number: int = 0  # the order of submission
    state: job_pb2.JobState.ValueType = job_pb2.JOB_STATE_QUEUED
    error: RbeeError | None = None
    start_time_s: float = 0.0
    end_time_s: float = 0.0
    watcher_count: int = 0
    unwatched_since_s: float = 0.0  # on the loop's clock
    cancel_reason: str = ""

    @property
    def id(self) -> str:
        """Its id."""
        return self.request.id

    @property
    def operation(self) -> operation_pb2.Operation:
        """What is asked for; prompts included until it has ended."""
        return self.request.operation

    @property
    def ended(self) -> bool:
        """Whether its state is terminal."""
        return self.state in TERMINAL

    @property
    def is_lookup(self) -> bool:
        """Whether nobody comes back for its story."""
        return self.operation.WhichOneof("kind") in LOOKUPS

    def to_proto(self) -> job_pb2.Job:
        """Return the job as others may see it: without prompts."""
        job = job_pb2.Job()
        job.CopyFrom(self.request)
        strip_texts(job.operation)
        job.state = self.state
        job.hive = self.log.origin[0]
        job.last_sequence = self.log.last_sequence
        job.create_time.CopyFrom(wire.timestamp(self.create_time_s))
        if self.start_time_s:
            job.start_time.CopyFrom(wire.timestamp(self.start_time_s))
        if self.end_time_s:
            job.end_time.CopyFrom(wire.timestamp(self.end_time_s))
        if self.error is not None:
            job.error.CopyFrom(wire.error_to_proto(self.error))
        return job


def fingerprint_of(operation: operation_pb2.Operation) -> bytes:
    """Return what tells one operation from another without keeping its texts."""
    return hashlib.sha256(operation.SerializeToString(deterministic=True)).digest()


def strip_texts(operation: operation_pb2.Operation) -> None:
    """Take prompts out of an operation, and what an answer was to look like."""
    if operation.HasField("infer"):
        for field in ("conversation", "prompt", "begun_token_ids"):
            operation.infer.ClearField(field)
        if operation.infer.HasField("sampling"):
            operation.infer.sampling.ClearField("response_format")
    if operation.HasField("embed"):
        operation.embed.ClearField("inputs")


class JobRegistry:
    """The jobs by id, bounded: so many running ones, so many ended ones, for so long."""

    def __init__(self, *, kept_s: float = JOB_KEPT_S) -> None:
        self.kept_s = kept_s
        self._entries: dict[str, JobEntry] = {}
        self._running: dict[str, JobEntry] = {}
        self._ended: dict[str, JobEntry] = {}  # in the order of their ends
        self._lookups: dict[str, JobEntry] = {}  # ended ones too, apart
        self._count = 0

    def find(self, job_id: str) -> JobEntry | None:
        """Return the job of that id, or None."""
        return self._entries.get(job_id)

    def get(self, job_id: str) -> JobEntry:
        """Return the job of that id.

        Raises:
            JobNotFoundError: no such job.
        """
        entry = self._entries.get(job_id)
        if entry is None:
            raise JobNotFoundError(job_id)
        return entry

    def add(self, entry: JobEntry) -> None:
        """Take in a new job and forget those that ended too long ago.

        Raises:
            ResourceExhaustedError: too many jobs run.
        """
        self.forget(entry.create_time_s)
        if len(self._running) >= JOBS_RUNNING_MAX:
            raise ResourceExhaustedError(
                f"{JOBS_RUNNING_MAX} jobs run already",
                reason="JOBS_FULL",
                hint="wait for one to end, or `rbee job cancel` one",
            )
        self.restore(entry)

    def restore(self, entry: JobEntry) -> None:
        """Take in a job that was known before, ended or not. Those that ended first come first."""
        entry.number = entry.number or self._count + 1
        self._count = max(self._count, entry.number)
        self._entries[entry.id] = entry
        (self._among_ended(entry) if entry.ended else self._running)[entry.id] = entry

    def end(
        self,
        entry: JobEntry,
        state: job_pb2.JobState.ValueType,
        *,
        error: RbeeError | None,
        now_s: float,
    ) -> None:
        """Note that a job has ended, in a terminal state."""
        entry.state, entry.error, entry.end_time_s = state, error, now_s
        del self._running[entry.id]
        self._among_ended(entry)[entry.id] = entry

    def running(self) -> list[JobEntry]:
        """Return the jobs that have not ended."""
        return list(self._running.values())

    def page(
        self, states: Sequence[job_pb2.JobState.ValueType], page_size: int, page_token: str
    ) -> tuple[list[JobEntry], str]:
        """Return a page of jobs, newest first, and the token of the next page.

        Raises:
            InvalidArgumentError: the size or the token is out of range.
        """
        if not 0 <= page_size <= PAGE_SIZE_MAX:
            raise InvalidArgumentError(f"page_size is not between 1 and {PAGE_SIZE_MAX}")
        if page_token and not _PAGE_TOKEN.fullmatch(page_token):
            raise InvalidArgumentError("page_token is not from this list")
        before = int(page_token) if page_token else self._count + 1
        found = [
            entry
            for entry in self._entries.values()
            if entry.number < before and (not states or entry.state in states)
        ]
        found.sort(key=lambda entry: entry.number, reverse=True)
        size = page_size or PAGE_SIZE
        token = str(found[size - 1].number) if len(found) > size else ""
        return found[:size], token

    def forget(self, now_s: float) -> None:
        """Forget the ended jobs that are too many or too old."""
        self._forget(self._ended, JOBS_KEPT_MAX, now_s)
        self._forget(self._lookups, LOOKUPS_KEPT_MAX, now_s)

    def drop(self, job_id: str) -> None:
        """Forget an ended job."""
        del self._among_ended(self._entries.pop(job_id))[job_id]

    def ended(self) -> list[JobEntry]:
        """Return the jobs that have ended, but for lookups, in the order of their ends."""
        return list(self._ended.values())

    def _among_ended(self, entry: JobEntry) -> dict[str, JobEntry]:
        return self._lookups if entry.is_lookup else self._ended

    def _forget(self, ended: dict[str, JobEntry], kept_max: int, now_s: float) -> None:
        while ended:
            oldest = next(iter(ended.values()))
            if len(ended) <= kept_max and now_s - oldest.end_time_s <= self.kept_s:
                return
            self.drop(oldest.id)
