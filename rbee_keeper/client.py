"""What the keeper asks of the queen. Raises RbeeError, never grpc's errors."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import Any

import grpc

from rbee.v1 import (
    job_pb2,
    job_service_pb2 as pb,
    job_service_pb2_grpc as rpc,
    operation_pb2,
)
from rbee_shared.contracts import wire
from rbee_shared.ids import new_job_id
from rbee_shared.jobs.relay import relay
from rbee_shared.limits import CALL_TIMEOUT_S, CANCEL_TIMEOUT_S
from rbee_shared.rpc.context import JOB_ID_KEY
from rbee_shared.rpc.errors import rpc_errors

PEER = "the queen"


class QueenClient:
    """Calls one queen over an open channel."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._jobs: rpc.JobServiceAsyncStub = rpc.JobServiceStub(channel)

    async def run(
        self,
        operation: operation_pb2.Operation,
        *,
        job_id: str,
        on_disconnect: job_pb2.OnDisconnect.ValueType = job_pb2.ON_DISCONNECT_UNSPECIFIED,
        timeout_s: float | None = None,
    ) -> AsyncGenerator[job_pb2.JobEvent]:
        """Submit an operation and yield its job's events to the end.

        Raises:
            RbeeError: it is refused, or the queen goes away.
        """
        request = pb.RunJobRequest(operation=operation, on_disconnect=on_disconnect)
        if timeout_s is not None:
            request.timeout.CopyFrom(wire.duration(timeout_s))
        call = self._jobs.RunJob(request, metadata=((JOB_ID_KEY, job_id),))
        async with aclosing(_events(call)) as events:
            async for event in events:
                yield event

    async def watch(self, job_id: str, after_sequence: int) -> AsyncGenerator[job_pb2.JobEvent]:
        """Yield a job's events after that sequence to the end.

        Raises:
            JobNotFoundError: no such job.
        """
        call = self._jobs.WatchJob(pb.WatchJobRequest(job_id=job_id, after_sequence=after_sequence))
        async with aclosing(_events(call)) as events:
            async for event in events:
                yield event

    async def result(self, operation: operation_pb2.Operation) -> operation_pb2.Result:
        """Run an operation whose story nobody needs, and return its result.

        Raises:
            RbeeError: why it cannot be done.
        """
        request = pb.RunJobRequest(operation=operation)
        call = self._jobs.RunJob(request, metadata=((JOB_ID_KEY, new_job_id()),))
        try:
            async with rpc_errors(PEER):
                return await relay(call, peer=PEER)
        finally:
            call.cancel()

    async def job(self, job_id: str) -> job_pb2.Job:
        """Return one job.

        Raises:
            JobNotFoundError: no such job.
        """
        async with rpc_errors(PEER):
            request = pb.GetJobRequest(job_id=job_id)
            return (await self._jobs.GetJob(request, timeout=CALL_TIMEOUT_S)).job

    async def jobs(
        self, count: int, states: Sequence[job_pb2.JobState.ValueType]
    ) -> list[job_pb2.Job]:
        """Return the newest jobs, at most `count`, in these states; all states if none is given."""
        found: list[job_pb2.Job] = []
        token = ""
        async with rpc_errors(PEER):
            while len(found) < count:
                request = pb.ListJobsRequest(page_token=token, states=states)
                page = await self._jobs.ListJobs(request, timeout=CALL_TIMEOUT_S)
                found.extend(page.jobs)
                token = page.next_page_token
                if not token:
                    break
        return found[:count]

    async def cancel(self, job_id: str, reason: str) -> job_pb2.Job:
        """Ask a job to stop and return it as it is right after.

        Raises:
            JobNotFoundError: no such job.
        """
        async with rpc_errors(PEER):
            request = pb.CancelJobRequest(job_id=job_id, reason=reason)
            return (await self._jobs.CancelJob(request, timeout=CANCEL_TIMEOUT_S)).job


async def _events(call: grpc.aio.UnaryStreamCall[Any, Any]) -> AsyncGenerator[job_pb2.JobEvent]:
    try:
        async with rpc_errors(PEER):
            async for response in call:
                for event in response.events:
                    yield event
    finally:
        call.cancel()  # leaving the loop alone would leave the call open
