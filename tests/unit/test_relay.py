from collections.abc import AsyncGenerator
from dataclasses import dataclass, field

import pytest

from rbee.v1 import inference_pb2, job_pb2, operation_pb2
from rbee_shared.contracts import wire
from rbee_shared.errors import (
    FailedPreconditionError,
    JobCancelledError,
    RbeeError,
    UnavailableError,
)
from rbee_shared.jobs.log import JobLog
from rbee_shared.jobs.relay import relay
from rbee_shared.narration.context import JOB, JobContext
from rbee_shared.narration.event import Narration


@dataclass
class Batch:
    events: list[job_pb2.JobEvent] = field(default_factory=list[job_pb2.JobEvent])


async def stream(*events: job_pb2.JobEvent) -> AsyncGenerator[Batch]:
    for event in events:
        yield Batch([event])


def state(value: job_pb2.JobState.ValueType, error: RbeeError | None = None) -> job_pb2.JobEvent:
    change = job_pb2.JobStateChange(state=value)
    if error is not None:
        change.error.CopyFrom(wire.error_to_proto(error))
    return job_pb2.JobEvent(state=change)


def told(human: str) -> job_pb2.JobEvent:
    narration = Narration("hive", "step", human, 1.0, fields={"n": 1})
    return job_pb2.JobEvent(narration=wire.narration_to_proto(narration))


TOKENS = job_pb2.JobEvent(completion=inference_pb2.Completion(text="hi", token_ids=[7]))
RESULT = operation_pb2.Result(infer=operation_pb2.InferResult(model="tiny"))


async def test_what_the_peer_tells_is_told_here_and_its_result_returned() -> None:
    log = JobLog()
    JOB.set(JobContext("j-1", story=log))
    heard: list[str | None] = []
    result = await relay(
        stream(
            state(job_pb2.JOB_STATE_QUEUED),
            told("loading"),
            TOKENS,
            job_pb2.JobEvent(result=RESULT),
            state(job_pb2.JOB_STATE_COMPLETED),
            told("after the end"),
        ),
        peer="hive `attic`",
        heard=lambda event: heard.append(event.WhichOneof("kind")),
    )
    assert result == RESULT
    assert heard == ["state", "narration", "completion", "result", "state"]
    narration, tokens = log.read(0)
    assert (narration.narration.human, narration.narration.actor) == ("loading", "hive")
    assert (tokens.completion.text, tokens.sequence) == ("hi", 2)


async def test_its_failure_is_raised_as_it_was_meant() -> None:
    error = FailedPreconditionError("it sleeps", reason="ASLEEP", hint="wake it")
    with pytest.raises(FailedPreconditionError, match="it sleeps") as raised:
        await relay(stream(state(job_pb2.JOB_STATE_FAILED, error)), peer="hive")
    assert (raised.value.reason, raised.value.hint) == ("ASLEEP", "wake it")


@pytest.mark.parametrize("error", [None, JobCancelledError("the queen stops")])
async def test_its_cancellation_is_one_here(error: RbeeError | None) -> None:
    with pytest.raises(JobCancelledError, match=str(error or "cancelled")):
        await relay(stream(state(job_pb2.JOB_STATE_CANCELLED, error)), peer="hive")


async def test_a_story_without_an_end_is_broken() -> None:
    with pytest.raises(UnavailableError, match="hive `attic`") as raised:
        await relay(stream(told("loading")), peer="hive `attic`")
    assert raised.value.reason == "STREAM_BROKEN"
