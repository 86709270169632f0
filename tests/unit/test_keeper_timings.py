from rbee.v1 import job_pb2
from rbee_keeper.timings import where_time_went
from rbee_shared.contracts import wire


def at(time_s: float, *, told: str = "") -> job_pb2.JobEvent:
    event = job_pb2.JobEvent(create_time=wire.timestamp(time_s))
    if told:
        event.narration.action = told
    return event


def state(time_s: float, value: job_pb2.JobState.ValueType) -> job_pb2.JobEvent:
    event = at(time_s)
    event.state.state = value
    return event


def result(time_s: float, *, waited_s: float, first_s: float, total_s: float) -> job_pb2.JobEvent:
    event = at(time_s)
    usage = event.result.infer.usage
    usage.queue_duration.CopyFrom(wire.duration(waited_s))
    usage.first_token_duration.CopyFrom(wire.duration(first_s))
    usage.total_duration.CopyFrom(wire.duration(total_s))
    return event


def test_every_part_of_a_cold_answer_is_told() -> None:
    story = [
        state(100.0, job_pb2.JOB_STATE_QUEUED),
        state(100.5, job_pb2.JOB_STATE_RUNNING),
        at(101.0, told="model_download"),
        at(109.5, told="model_ready"),
        at(109.75, told="worker_spawn"),
        at(110.75, told="worker_ready"),
        result(115.0, waited_s=0.25, first_s=0.5, total_s=4.0),
        state(115.25, job_pb2.JOB_STATE_COMPLETED),
    ]
    assert where_time_went(story) == {
        "queued_s": 0.5,
        "pulled_s": 9.0,
        "loaded_s": 1.0,
        "waited_s": 0.25,
        "prefill_s": 0.5,
        "decode_s": 3.5,
        "total_s": 15.25,
    }


def test_a_job_that_ended_early_tells_what_it_had() -> None:
    story = [
        state(100.0, job_pb2.JOB_STATE_QUEUED),
        state(102.0, job_pb2.JOB_STATE_CANCELLED),
    ]
    assert where_time_went(story) == {"queued_s": 2.0, "total_s": 2.0}
    assert where_time_went([]) == {}
