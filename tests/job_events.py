"""Events of a job, as tests of what a person sees make them."""

from rbee.v1 import inference_pb2, job_pb2
from rbee_shared.contracts import wire
from rbee_shared.narration.event import Level, Narration, Progress


def told(
    human: str,
    *,
    action: str = "",
    target: str = "",
    time_s: float = 0.0,
    level: Level = Level.INFO,
    progress: Progress | None = None,
) -> job_pb2.JobEvent:
    """Return a narration; its action is its text if none is given, and so a step of its own."""
    narration = Narration(
        "hive", action or human, human, time_s, target, level=level, progress=progress
    )
    return job_pb2.JobEvent(narration=wire.narration_to_proto(narration))


def token(text: str, *, time_s: float = 0.0) -> job_pb2.JobEvent:
    """Return a piece of an answer."""
    event = job_pb2.JobEvent(completion=inference_pb2.Completion(text=text))
    event.create_time.CopyFrom(wire.timestamp(time_s))
    return event


def state(state: job_pb2.JobState.ValueType, *, time_s: float = 0.0) -> job_pb2.JobEvent:
    """Return a change of state."""
    event = job_pb2.JobEvent(state=job_pb2.JobStateChange(state=state))
    event.create_time.CopyFrom(wire.timestamp(time_s))
    return event
