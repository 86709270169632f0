"""Pouring the events of a job on the next hop into the job that the caller works for.

Narration and tokens go to the current job's log, with its own sequence; the result is returned;
a failure is raised as the error that the far side meant. So an operation that runs on another
machine looks to its caller like a coroutine that runs here.
"""

from collections.abc import AsyncIterable, Callable, Sequence
from typing import Protocol

from rbee.v1 import job_pb2, operation_pb2
from rbee_shared.contracts import wire
from rbee_shared.errors import JobCancelledError, UnavailableError
from rbee_shared.jobs.merge import is_ended
from rbee_shared.narration.narrate import emit, tell_completion


class Batch(Protocol):
    """A response of RunJob, WatchJob or Generate."""

    @property
    def events(self) -> Sequence[job_pb2.JobEvent]:
        """The events, in order."""
        ...


def _ignore(_: job_pb2.JobEvent) -> None:
    """The default of `heard`."""


async def relay(
    batches: AsyncIterable[Batch], *, peer: str, heard: Callable[[job_pb2.JobEvent], None] = _ignore
) -> operation_pb2.Result:
    """Tell all that the peer's job tells, and return its result.

    Args:
        batches: the peer's stream.
        peer: who that is, for people.
        heard: called with each of the peer's events before it is told.

    Raises:
        RbeeError: the error that ended the peer's job; JobCancelledError if it was cancelled there.
        UnavailableError: the stream ended before the job did.
    """
    result = operation_pb2.Result()
    async for batch in batches:
        for event in batch.events:
            heard(event)
            if event.HasField("result"):
                result = event.result
            elif is_ended(event):
                return _outcome(event.state, result)
            else:
                _tell(event)
    raise UnavailableError(f"{peer} stopped telling before its job ended", reason="STREAM_BROKEN")


def _tell(event: job_pb2.JobEvent) -> None:
    match event.WhichOneof("kind"):
        case "narration":
            emit(wire.narration_from_proto(event.narration))
        case "completion":
            tell_completion(event.completion)
        case _:
            pass


def _outcome(end: job_pb2.JobStateChange, result: operation_pb2.Result) -> operation_pb2.Result:
    if end.state == job_pb2.JOB_STATE_COMPLETED:
        return result
    error = wire.error_from_proto(end.error)
    if end.state == job_pb2.JOB_STATE_CANCELLED and not isinstance(error, JobCancelledError):
        raise JobCancelledError(str(error) or "cancelled", hint=error.hint)
    raise error
