"""What a program asks of the queen. Raises RbeeError, never grpc's errors.

A stream that breaks is taken up again where it broke, also on a queen that was killed and started
anew: whoever reads the events sees each of them once, with nothing left out.
"""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import aclosing
from typing import Any, TypeAlias

import grpc

from rbee.v1 import (
    job_pb2,
    job_service_pb2 as pb,
    job_service_pb2_grpc as rpc,
    operation_pb2,
)
from rbee_shared.contracts import wire
from rbee_shared.errors import JobNotFoundError, NotFoundError, RbeeError, UnavailableError
from rbee_shared.ids import new_job_id
from rbee_shared.jobs.merge import is_ended
from rbee_shared.limits import CALL_TIMEOUT_S, CANCEL_TIMEOUT_S, HIVE_LEASE_S
from rbee_shared.rpc.context import JOB_ID_KEY
from rbee_shared.rpc.errors import rpc_errors
from rbee_shared.rpc.stream import responses

PEER = "the queen"
LOST_AGAIN_S = 1.0
BREAKS_MAX = 3  # in a row, without a single event in between

Lost: TypeAlias = Callable[[RbeeError], Awaitable[None]]
Begin: TypeAlias = Callable[[], Any]


class QueenLostError(UnavailableError):
    """The queen went away and did not come back, or came back without the job."""

    reason = "QUEEN_LOST"
    hint = "`rbee queen logs` has what it wrote; `rbee job list` shows what became of the job"


async def _wait(_: RbeeError) -> None:
    """The default of `lost`: whoever started the queen starts it again."""


class Client:
    """Calls one queen over an open channel. Made by `connect`."""

    def __init__(self, channel: grpc.aio.Channel, *, token: str = "", lost: Lost = _wait) -> None:
        """Call over `channel`.

        Args:
            channel: to the queen.
            token: the owner's token; empty where none is asked for.
            lost: called when a stream broke, and again, with the same error, each `LOST_AGAIN_S`
                while it cannot be taken up: a queen that dies may hold its lock a moment longer
                than its streams.
        """
        self._jobs: rpc.JobServiceAsyncStub = rpc.JobServiceStub(channel)
        self._metadata = (("authorization", f"Bearer {token}"),) if token else ()
        self._lost = lost

    async def run(
        self,
        operation: operation_pb2.Operation,
        *,
        job_id: str = "",
        on_disconnect: job_pb2.OnDisconnect.ValueType = job_pb2.ON_DISCONNECT_UNSPECIFIED,
        timeout_s: float | None = None,
        private: bool = False,
        priority: job_pb2.Priority.ValueType = job_pb2.PRIORITY_UNSPECIFIED,
    ) -> AsyncGenerator[job_pb2.JobEvent]:
        """Run an operation and yield its job's events to the end, the last of which says how.

        Args:
            operation: what to do.
            job_id: of the job; a new one if empty. A known one is attached to.
            on_disconnect: what happens when nobody follows the job any more; by operation.
            timeout_s: the job is stopped after so long; None for the operation's own limit.
            private: keep no text of the answer.
            priority: who goes first; INTERACTIVE if not said.

        Raises:
            RbeeError: it is refused.
            QueenLostError: the queen went away for good.
        """
        job_id = job_id or new_job_id()
        request = pb.RunJobRequest(
            operation=operation,
            on_disconnect=on_disconnect,
            private=private,
            priority=priority,
        )
        if timeout_s is not None:
            request.timeout.CopyFrom(wire.duration(timeout_s))
        metadata = (*self._metadata, (JOB_ID_KEY, job_id))

        def begin() -> Any:
            return self._jobs.RunJob(request, metadata=metadata)

        async with aclosing(self._follow(job_id, 0, begin)) as events:
            async for event in events:
                yield event

    async def watch(self, job_id: str, after_sequence: int = 0) -> AsyncGenerator[job_pb2.JobEvent]:
        """Yield a job's events after that sequence to the end; 0 for the whole story.

        Raises:
            JobNotFoundError: no such job.
            QueenLostError: the queen went away for good.
        """

        def begin() -> Any:
            return self._watch(job_id, after_sequence)

        async with aclosing(self._follow(job_id, after_sequence, begin)) as events:
            async for event in events:
                yield event

    async def call(
        self,
        operation: operation_pb2.Operation,
        on_event: Callable[[job_pb2.JobEvent], None] = lambda _: None,
        *,
        job_id: str = "",
        timeout_s: float | None = None,
        priority: job_pb2.Priority.ValueType = job_pb2.PRIORITY_UNSPECIFIED,
    ) -> operation_pb2.Result:
        """Run an operation to its end and return its result; `on_event` hears every event.

        Raises:
            RbeeError: why the job failed, or was cancelled.
        """
        events = self.run(operation, job_id=job_id, timeout_s=timeout_s, priority=priority)
        return await result_of(events, on_event)

    async def job(self, job_id: str) -> job_pb2.Job:
        """Return one job.

        Raises:
            JobNotFoundError: no such job.
        """
        request = pb.GetJobRequest(job_id=job_id)
        async with rpc_errors(PEER):
            answer = await self._jobs.GetJob(
                request, timeout=CALL_TIMEOUT_S, metadata=self._metadata
            )
        return answer.job

    async def jobs(
        self, count: int, states: Sequence[job_pb2.JobState.ValueType] = ()
    ) -> list[job_pb2.Job]:
        """Return the newest jobs, at most `count`, in these states; all states if none is given."""
        found: list[job_pb2.Job] = []
        token = ""
        async with rpc_errors(PEER):
            while len(found) < count:
                request = pb.ListJobsRequest(page_token=token, states=states)
                page = await self._jobs.ListJobs(
                    request, timeout=CALL_TIMEOUT_S, metadata=self._metadata
                )
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
        request = pb.CancelJobRequest(job_id=job_id, reason=reason)
        async with rpc_errors(PEER):
            answer = await self._jobs.CancelJob(
                request, timeout=CANCEL_TIMEOUT_S, metadata=self._metadata
            )
        return answer.job

    def _watch(self, job_id: str, after: int) -> Any:
        request = pb.WatchJobRequest(job_id=job_id, after_sequence=after)
        return self._jobs.WatchJob(request, metadata=self._metadata, wait_for_ready=True)

    async def _follow(
        self, job_id: str, after: int, begin: Begin
    ) -> AsyncGenerator[job_pb2.JobEvent]:
        reading, call = _Reading(after), begin()
        while not reading.ended:
            try:
                async with aclosing(reading.events(call)) as events:
                    async for event in events:
                        yield event
            except (UnavailableError, NotFoundError) as error:
                if reading.begins_anew(error):
                    call = begin()
                    continue
                call = self._watch(job_id, reading.after)
                await self._connected(call, reading.why or error)

    async def _connected(self, call: Any, why: RbeeError) -> None:
        connecting = asyncio.ensure_future(call.wait_for_connection())
        try:
            async with asyncio.timeout(HIVE_LEASE_S):
                while not connecting.done():
                    await self._lost(why)
                    await asyncio.wait([connecting], timeout=LOST_AGAIN_S)
        except TimeoutError:
            raise QueenLostError(f"{PEER} was away for {HIVE_LEASE_S:g} s") from None
        finally:
            if not connecting.done():
                call.cancel()
            await asyncio.gather(connecting, return_exceptions=True)  # the stream says it again


class _Reading:
    """How far a story is read, over as many streams as that takes."""

    def __init__(self, after: int) -> None:
        self._first = self.after = after
        self._breaks = 0
        self.why: RbeeError | None = None  # the first of the breaks since the last event
        self.ended = False

    async def events(self, call: Any) -> AsyncGenerator[job_pb2.JobEvent]:
        """Yield what one stream tells, up to the job's end."""
        async with aclosing(responses(call, PEER)) as batches:
            async for batch in batches:
                for event in batch.events:
                    self.after, self._breaks = event.sequence, 0
                    self.ended = is_ended(event)
                    yield event
        self.ended = True  # a stream that ends well has told all, which may be nothing

    def begins_anew(self, error: RbeeError) -> bool:
        """Whether the queen never came to know the job, so that it is run again.

        Raises:
            RbeeError: the error is an answer, and no break of the stream.
            QueenLostError: the story cannot be gone on with.
        """
        unknown = error.reason == JobNotFoundError.reason
        if (unknown and not self._breaks) or error.reason not in (
            UnavailableError.reason,
            JobNotFoundError.reason,
        ):
            raise error
        self.why = error if not self._breaks else self.why
        self._breaks += 1
        if unknown and self.after > self._first:
            raise QueenLostError(f"{PEER} came back without the job") from error
        if self._breaks > BREAKS_MAX:
            raise QueenLostError(f"{PEER} is lost: {error}") from error
        return unknown


async def result_of(
    events: AsyncGenerator[job_pb2.JobEvent], on_event: Callable[[job_pb2.JobEvent], None]
) -> operation_pb2.Result:
    """Hear a job to its end and return its result.

    Raises:
        RbeeError: why it failed, or was cancelled.
    """
    result = operation_pb2.Result()
    async with aclosing(events):
        async for event in events:
            on_event(event)
            if event.HasField("result"):
                result = event.result
            elif is_ended(event) and event.state.HasField("error"):
                raise wire.error_from_proto(event.state.error)
    return result
