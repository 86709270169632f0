"""Jobs that are written down, and those that another process began."""

import asyncio
from time import time

import pytest

from rbee.v1 import inference_pb2, job_pb2, operation_pb2
from rbee_shared.contracts import wire
from rbee_shared.errors import ResourceExhaustedError
from rbee_shared.jobs.log import JobLog
from rbee_shared.jobs.registry import JobEntry
from rbee_shared.jobs.runner import JobRunner, running_jobs
from rbee_shared.narration.narrate import narrate, tell_completion
from tests.journals import followed, until

STATUS = operation_pb2.Operation(status=operation_pb2.StatusOperation())
PULL = operation_pb2.Operation(model_download=operation_pb2.ModelDownloadOperation())


async def wait_for_ever(_: operation_pb2.Operation) -> operation_pb2.Result:
    await asyncio.Event().wait()
    raise AssertionError


def submit(
    runner: JobRunner, job_id: str = "j-1", operation: operation_pb2.Operation = PULL
) -> JobEntry:
    job = job_pb2.Job(id=job_id, operation=operation)
    return runner.submit(job, timeout_s=10.0, lease_s=None)


async def end_of(entry: JobEntry) -> job_pb2.JobStateChange:
    events = await followed(entry.log)
    assert [event.state.state for event in events if event.HasField("state")][:-1] == [
        job_pb2.JOB_STATE_QUEUED,
        job_pb2.JOB_STATE_RUNNING,
    ]
    assert events[-1].state.state == entry.state
    return events[-1].state


class Paper:
    """A recorder that writes when its test says so."""

    def __init__(self) -> None:
        self.logs: dict[str, JobLog] = {}
        self.is_full = False

    def check(self) -> None:
        if self.is_full:
            raise ResourceExhaustedError("no paper left")

    def record(self, entry: JobEntry, log: JobLog) -> None:
        self.logs[entry.id] = log
        log.record(lambda: None)

    def write(self, job_id: str) -> None:
        log = self.logs[job_id]
        while log.changes().events:
            pass
        log.announce(log.last_sequence)


async def test_a_job_is_recorded_from_its_first_state_to_its_last() -> None:
    paper = Paper()
    async with running_jobs(wait_for_ever, who="queen", recorder=paper) as runner:
        entry = submit(runner)
        log = paper.logs["j-1"]
        await asyncio.sleep(0)
        assert (log.read(0), log.last_sequence) == ([], 2)
        runner.cancel("j-1", "")
        await until(lambda: entry.ended)
        paper.write("j-1")
        assert (await end_of(entry)).state == job_pb2.JOB_STATE_CANCELLED


async def test_what_cannot_be_recorded_is_not_begun_but_looking_up_is() -> None:
    paper = Paper()
    async with running_jobs(wait_for_ever, who="queen", recorder=paper) as runner:
        known = submit(runner)
        paper.is_full = True
        with pytest.raises(ResourceExhaustedError, match="no paper"):
            submit(runner, "j-2")
        assert runner.registry.find("j-2") is None
        assert submit(runner) is known
        look = submit(runner, "look", STATUS)
        runner.cancel("look", "")
        assert (await followed(look.log))[-1].state.state == job_pb2.JOB_STATE_CANCELLED
        assert list(paper.logs) == ["j-1"]
        paper.write("j-1")


def begun(*, lease_s: float | None = None, left_s: float = 10.0) -> tuple[JobEntry, JobLog]:
    """Return a running job as another process left it."""
    log = JobLog()
    log.state(job_pb2.JOB_STATE_QUEUED)
    log.state(job_pb2.JOB_STATE_RUNNING)
    job = job_pb2.Job(id="j-1", operation=PULL, deadline_time=wire.timestamp(time() + left_s))
    running = job_pb2.JOB_STATE_RUNNING
    return JobEntry(job, log, 1.0, lease_s, number=41, state=running, start_time_s=2.0), log


async def test_a_resumed_job_goes_on_with_its_story_and_its_number() -> None:
    async def rest(_: operation_pb2.Operation) -> operation_pb2.Result:
        narrate("step", "the rest")
        return operation_pb2.Result()

    async with running_jobs(wait_for_ever, who="queen") as runner:
        entry, log = begun()
        runner.resume(entry, log, rest, lease_s=None)
        assert (await end_of(entry)).state == job_pb2.JOB_STATE_COMPLETED
        assert (entry.number, entry.start_time_s) == (41, 2.0)
        assert submit(runner, "j-2").number == 42


@pytest.mark.parametrize("left_s", [0.02, 0.0, -3_600.0])
async def test_a_resumed_job_has_the_time_that_it_had(left_s: float) -> None:
    async with running_jobs(wait_for_ever, who="queen") as runner:
        entry, log = begun(left_s=left_s)
        runner.resume(entry, log, wait_for_ever, lease_s=None)
        assert (await end_of(entry)).error.reason == "DEADLINE_EXCEEDED"


async def test_a_resumed_job_waits_for_its_watcher_and_then_has_its_own_lease() -> None:
    async with running_jobs(wait_for_ever, who="queen") as runner:
        entry, log = begun(lease_s=0.0)
        runner.resume(entry, log, wait_for_ever, lease_s=0.02)
        assert (await end_of(entry)).error.message == "nobody watched the job for 0.02 s"
    async with running_jobs(wait_for_ever, who="queen") as runner:
        entry, log = begun(lease_s=0.0)
        runner.resume(entry, log, wait_for_ever, lease_s=10.0)
        with runner.watching(entry):
            pass
        assert (await end_of(entry)).error.message == "nobody watched the job"


async def test_a_private_job_s_texts_go_with_its_last_watcher() -> None:
    async def answer(_: operation_pb2.Operation) -> operation_pb2.Result:
        tell_completion(inference_pb2.Completion(text="yes", token_ids=[1]))
        return operation_pb2.Result()

    def texts(events: list[job_pb2.JobEvent]) -> list[str]:
        return [event.completion.text for event in events if event.HasField("completion")]

    async with running_jobs(answer, who="queen") as runner:
        job = job_pb2.Job(id="j-1", operation=PULL, private=True)
        entry = runner.submit(job, timeout_s=9.0, lease_s=None)
        with runner.watching(entry):
            assert texts(await followed(entry.log)) == ["yes"]
        events = await followed(entry.log)
        assert texts(events) == []
        assert events[2].narration.human == "the text of the answer is not kept any more"
