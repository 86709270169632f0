"""Where a job's time went, read from its story. Pure."""

from collections.abc import Sequence

from rbee.v1 import job_pb2
from rbee_shared.contracts import wire


def where_time_went(story: Sequence[job_pb2.JobEvent]) -> dict[str, float]:
    """Return the seconds that each part of an ended job took; parts that it had not are left out.

    `queued` until it was begun, `pulled` to fetch and convert a model, `loaded` to start a worker,
    `waited` in its queue, `prefill` to its first token, `decode` to its last, and `total`.
    """
    if not story:
        return {}
    begin_s, end_s = _time_s(story[0]), _time_s(story[-1])
    states = {event.state.state: _time_s(event) for event in story if event.HasField("state")}
    told = {
        event.narration.action: _time_s(event) for event in story if event.HasField("narration")
    }
    running_s = states.get(job_pb2.JOB_STATE_RUNNING, end_s)
    took = {"queued_s": running_s - begin_s}
    if "model_ready" in told:
        took["pulled_s"] = told["model_ready"] - running_s
    if "worker_spawn" in told and "worker_ready" in told:
        took["loaded_s"] = told["worker_ready"] - told["worker_spawn"]
    took |= _answered(story)
    took["total_s"] = end_s - begin_s
    return {name: round(max(0.0, span_s), 3) for name, span_s in took.items()}


def _answered(story: Sequence[job_pb2.JobEvent]) -> dict[str, float]:
    infer = next((event.result.infer for event in story if event.result.HasField("infer")), None)
    if infer is None or not infer.HasField("usage"):
        return {}
    first_s = wire.seconds(infer.usage.first_token_duration)
    return {
        "waited_s": wire.seconds(infer.usage.queue_duration),
        "prefill_s": first_s,
        "decode_s": wire.seconds(infer.usage.total_duration) - first_s,
    }


def _time_s(event: job_pb2.JobEvent) -> float:
    return wire.seconds(event.create_time)
