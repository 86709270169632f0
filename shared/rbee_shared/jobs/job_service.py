"""JobService, served identically by the queen and by every hive: wire in, runner, wire out."""

from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import aclosing, contextmanager
from typing import Any

import grpc

from rbee.v1 import job_pb2, job_service_pb2 as pb, job_service_pb2_grpc as rpc
from rbee_shared.contracts import wire
from rbee_shared.errors import InvalidArgumentError
from rbee_shared.ids import check_job_id, new_job_id
from rbee_shared.jobs.kinds import CANCEL_BY_DEFAULT
from rbee_shared.jobs.registry import JobEntry
from rbee_shared.jobs.runner import JobRunner
from rbee_shared.limits import JOB_TIMEOUT_S, JOB_TIMEOUT_S_DEFAULT, LEASE_S_MAX
from rbee_shared.narration.context import current
from rbee_shared.rpc.context import JOB_ID_KEY

Context = grpc.aio.ServicerContext[Any, Any]
Shared = tuple[list[job_pb2.JobEvent], pb.WatchJobResponse]


class JobService(rpc.JobServiceServicer):
    """Serves one runner's jobs."""

    def __init__(self, runner: JobRunner, pause_s: Callable[[], float]) -> None:
        self._runner = runner
        self._pause_s = pause_s
        self._shared: Shared | None = None

    async def RunJob(
        self, request: pb.RunJobRequest, context: Context
    ) -> AsyncGenerator[pb.RunJobResponse]:
        entry = self._submit(request, context.time_remaining())
        with self._runner.watching(entry):  # at once: who leaves before a first event has left too
            await context.send_initial_metadata(((JOB_ID_KEY, entry.id),))
            async with aclosing(entry.log.follow(0, self._pause_s)) as batches:
                async for events in batches:
                    yield pb.RunJobResponse(job_id=entry.id, events=events)

    async def WatchJob(
        self, request: pb.WatchJobRequest, context: Context
    ) -> AsyncGenerator[pb.WatchJobResponse]:
        entry = self._runner.registry.get(request.job_id)
        after = request.after_sequence
        if not 0 <= after <= entry.log.last_sequence:
            raise InvalidArgumentError(
                f"after_sequence {after} is not in the job's story of {entry.log.last_sequence}",
                reason="SEQUENCE_UNKNOWN",
                hint="0 is the whole story",
            )
        with self._runner.watching(entry), self._forgetting():
            await context.send_initial_metadata(((JOB_ID_KEY, entry.id),))  # it may be quiet long
            async with aclosing(entry.log.follow(after, self._pause_s)) as batches:
                async for events in batches:
                    yield self._response(entry.id, events)

    async def GetJob(self, request: pb.GetJobRequest, context: Context) -> pb.GetJobResponse:
        return pb.GetJobResponse(job=self._runner.registry.get(request.job_id).to_proto())

    async def ListJobs(self, request: pb.ListJobsRequest, context: Context) -> pb.ListJobsResponse:
        entries, token = self._runner.registry.page(
            request.states, request.page_size, request.page_token
        )
        return pb.ListJobsResponse(
            jobs=[entry.to_proto() for entry in entries], next_page_token=token
        )

    async def CancelJob(
        self, request: pb.CancelJobRequest, context: Context
    ) -> pb.CancelJobResponse:
        entry = self._runner.cancel(request.job_id, request.reason)
        return pb.CancelJobResponse(job=entry.to_proto())

    def _response(self, job_id: str, events: list[job_pb2.JobEvent]) -> pb.WatchJobResponse:
        # to copy the events is most of what a watcher costs; those who are equally far share that
        if self._shared is None or self._shared[0] is not events:
            self._shared = (events, pb.WatchJobResponse(job_id=job_id, events=events))
        return self._shared[1]

    @contextmanager
    def _forgetting(self) -> Generator[None]:
        try:
            yield
        finally:
            self._shared = None  # no text of an answer outlives who watched it

    def _submit(self, request: pb.RunJobRequest, call_time_s: float | None) -> JobEntry:
        kind = request.operation.WhichOneof("kind")
        if kind is None:
            raise InvalidArgumentError("operation.kind is not set", reason="OPERATION_MISSING")
        cancels = on_disconnect(request.on_disconnect, kind) == job_pb2.ON_DISCONNECT_CANCEL
        job = job_pb2.Job(
            id=check_job_id(current().job_id or new_job_id()),
            operation=request.operation,
            on_disconnect=on_disconnect(request.on_disconnect, kind),
            correlation_id=current().correlation_id,
            private=request.private,
            priority=request.priority,
        )
        return self._runner.submit(
            job,
            timeout_s=timeout_s(request, kind, call_time_s if cancels else None),
            lease_s=0.0 if cancels else lease_s(request),
        )


def on_disconnect(
    asked: job_pb2.OnDisconnect.ValueType, kind: str
) -> job_pb2.OnDisconnect.ValueType:
    """Return what happens to a job when its connection ends; by operation if nobody said."""
    if asked != job_pb2.ON_DISCONNECT_UNSPECIFIED:
        return asked
    if kind in CANCEL_BY_DEFAULT:
        return job_pb2.ON_DISCONNECT_CANCEL
    return job_pb2.ON_DISCONNECT_DETACH


def timeout_s(request: pb.RunJobRequest, kind: str, call_time_s: float | None) -> float:
    """Return how long a job may take: what was asked, else the call's own time, else by operation.

    Raises:
        InvalidArgumentError: the timeout is not positive.
    """
    default_s, most_s = JOB_TIMEOUT_S.get(kind, JOB_TIMEOUT_S_DEFAULT)
    if request.HasField("timeout"):
        asked_s = wire.seconds(request.timeout)
        if asked_s <= 0:
            raise InvalidArgumentError("timeout is not positive", reason="TIMEOUT_MALFORMED")
        return min(asked_s, most_s)
    return default_s if call_time_s is None else min(call_time_s, most_s)


def lease_s(request: pb.RunJobRequest) -> float | None:
    """Return for how long a detached job lives without a watcher; None for ever.

    Raises:
        InvalidArgumentError: the lease is not positive.
    """
    if not request.HasField("lease"):
        return None
    asked_s = wire.seconds(request.lease)
    if asked_s <= 0:
        raise InvalidArgumentError("lease is not positive", reason="LEASE_MALFORMED")
    return min(asked_s, LEASE_S_MAX)
