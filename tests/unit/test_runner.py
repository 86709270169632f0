import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress

import pytest

from rbee.v1 import job_pb2, operation_pb2
from rbee_shared.errors import (
    FailedPreconditionError,
    JobIdTakenError,
    JobNotFoundError,
    NotFoundError,
    UnavailableError,
)
from rbee_shared.jobs.registry import JobEntry
from rbee_shared.jobs.runner import JobRunner, running_jobs
from rbee_shared.narration.context import current
from rbee_shared.narration.narrate import narrate

Work = Callable[[], Awaitable[object]]
STATUS = operation_pb2.Operation(status=operation_pb2.StatusOperation())


def submit(
    runner: JobRunner,
    work: Work,
    *,
    job_id: str = "j-1",
    timeout_s: float = 10.0,
    lease_s: float | None = None,
    operation: operation_pb2.Operation = STATUS,
) -> JobEntry:
    async def execute(_: operation_pb2.Operation) -> operation_pb2.Result:
        await work()
        return operation_pb2.Result(status=operation_pb2.StatusResult(version=job_id))

    job = job_pb2.Job(id=job_id, operation=operation, correlation_id="c-1")
    return runner.submit(job, timeout_s=timeout_s, lease_s=lease_s, execute=execute)


async def never(_: operation_pb2.Operation) -> operation_pb2.Result:
    raise AssertionError


async def story(entry: JobEntry) -> list[job_pb2.JobEvent]:
    async with asyncio.timeout(5):
        return [event async for events in entry.log.follow(0, lambda: 0.0) for event in events]


async def end_of(entry: JobEntry) -> job_pb2.JobStateChange:
    events = await story(entry)
    assert [event.state.state for event in events if event.HasField("state")][:-1] in (
        [job_pb2.JOB_STATE_QUEUED],
        [job_pb2.JOB_STATE_QUEUED, job_pb2.JOB_STATE_RUNNING],
    )
    assert entry.ended
    assert events[-1].state.state == entry.state
    return events[-1].state


async def test_a_job_tells_its_whole_story() -> None:
    async def work() -> None:
        assert current().job_id == "j-1"
        narrate("step", "working")

    async with running_jobs(never, who="queen") as runner:
        entry = submit(runner, work)
        events = await story(entry)
    kinds = [event.WhichOneof("kind") for event in events]
    assert kinds == ["state", "state", "narration", "result", "state"]
    assert events[2].narration.correlation_id == "c-1"
    assert events[3].result.status.version == "j-1"
    assert entry.state == job_pb2.JOB_STATE_COMPLETED
    assert 0 < entry.create_time_s <= entry.start_time_s <= entry.end_time_s
    assert current().job_id == ""


async def test_an_error_ends_a_job_whatever_it_is_wrapped_in() -> None:
    async def work() -> None:
        async with asyncio.TaskGroup():
            raise FailedPreconditionError("it sleeps", hint="wake it")

    async with running_jobs(never, who="queen") as runner:
        end = await end_of(submit(runner, work))
    assert end.state == job_pb2.JOB_STATE_FAILED
    assert (end.error.message, end.error.hint) == ("it sleeps", "wake it")


@pytest.mark.parametrize("bug", [ValueError("x"), TimeoutError("a socket's own")])
async def test_a_bug_ends_its_job_and_no_other(
    bug: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    async def buggy() -> None:
        raise bug

    async with running_jobs(never, who="queen") as runner:
        with caplog.at_level(logging.ERROR):
            end = await end_of(submit(runner, buggy))
        assert end.state == job_pb2.JOB_STATE_FAILED
        assert end.error.reason == "INTERNAL"
        assert type(bug).__name__ in end.error.message
        assert "j-1" in caplog.text
        other = await end_of(submit(runner, asyncio.Event().wait, job_id="j-2", timeout_s=0.01))
        assert other.error.reason == "DEADLINE_EXCEEDED"


async def test_a_job_out_of_time_says_what_it_was_doing_and_cleans_up() -> None:
    cleaned: list[str] = []

    async def work() -> None:
        narrate("load", "loading the model")
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            cleaned.append("yes")

    async with running_jobs(never, who="queen") as runner:
        end = await end_of(submit(runner, work, timeout_s=0.01))
    assert end.state == job_pb2.JOB_STATE_FAILED
    assert end.error.reason == "DEADLINE_EXCEEDED"
    assert end.error.message == "the time of the job is over while loading the model"
    assert cleaned == ["yes"]


async def test_out_of_time_is_the_reason_even_if_cleaning_up_fails() -> None:
    async def work() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            raise NotFoundError("no `x`")

    async with running_jobs(never, who="queen") as runner:
        end = await end_of(submit(runner, work, timeout_s=0.01))
    assert end.error.reason == "DEADLINE_EXCEEDED"


async def test_a_job_is_cancelled_before_its_first_step() -> None:
    async def work() -> None:
        raise AssertionError

    async with running_jobs(never, who="queen") as runner:
        entry = submit(runner, work)
        runner.cancel("j-1", "changed my mind")
        end = await end_of(entry)
    assert end.state == job_pb2.JOB_STATE_CANCELLED
    assert end.error.message == "changed my mind"
    assert entry.start_time_s == 0.0


async def test_cancelling_is_idempotent_and_the_first_reason_stays() -> None:
    started, slow = asyncio.Event(), asyncio.Event()
    cleaned: list[str] = []

    async def work() -> None:
        try:
            started.set()
            await asyncio.Event().wait()
        finally:
            await slow.wait()  # a second cancel must not cut this short
            cleaned.append("yes")

    async with running_jobs(never, who="queen") as runner:
        entry = submit(runner, work)
        await started.wait()
        for reason in ("key=abc.def", "second", ""):
            assert runner.cancel("j-1", reason) is entry
            await asyncio.sleep(0)
        slow.set()
        end = await end_of(entry)
        assert runner.cancel("j-1", "too late") is entry
    assert end.error.message == "key=[REDACTED]"
    assert cleaned == ["yes"]


async def test_a_cancelled_job_is_cancelled_even_if_cleaning_up_fails() -> None:
    started = asyncio.Event()

    async def work() -> None:
        try:
            started.set()
            await asyncio.Event().wait()
        finally:
            raise NotFoundError("no `x`")

    async with running_jobs(never, who="queen") as runner:
        entry = submit(runner, work)
        await started.wait()
        runner.cancel("j-1", "")
        end = await end_of(entry)
    assert (end.state, end.error.message) == (job_pb2.JOB_STATE_CANCELLED, "cancelled on request")


async def test_a_job_that_was_done_all_the_same_is_completed() -> None:
    started = asyncio.Event()

    async def work() -> None:
        started.set()
        with suppress(asyncio.CancelledError):
            await asyncio.Event().wait()

    async with running_jobs(never, who="queen") as runner:
        entry = submit(runner, work)
        await started.wait()
        runner.cancel("j-1", "")
        assert (await end_of(entry)).state == job_pb2.JOB_STATE_COMPLETED


async def test_the_same_id_and_operation_is_the_same_job() -> None:
    other = operation_pb2.Operation(hive_list=operation_pb2.HiveListOperation())
    async with running_jobs(never, who="queen") as runner:
        entry = submit(runner, asyncio.Event().wait)
        assert submit(runner, asyncio.Event().wait) is entry
        with pytest.raises(JobIdTakenError):
            submit(runner, asyncio.Event().wait, operation=other)
        runner.cancel("j-1", "")
        await end_of(entry)
        assert submit(runner, asyncio.Event().wait) is entry


async def test_an_unknown_job_cannot_be_cancelled() -> None:
    async with running_jobs(never, who="queen") as runner:
        with pytest.raises(JobNotFoundError):
            runner.cancel("j-1", "")
        assert runner.story_of("j-1") is None


async def test_the_last_watcher_who_leaves_begins_the_lease() -> None:
    async with running_jobs(never, who="queen") as runner:
        entry = submit(runner, asyncio.Event().wait, lease_s=0.01)
        with runner.watching(entry):
            with runner.watching(entry):
                pass
            assert not entry.cancel_reason
        end = await end_of(entry)
    assert end.state == job_pb2.JOB_STATE_CANCELLED
    assert end.error.message == "nobody watched the job for 0.01 s"


async def test_a_watcher_who_comes_back_in_time_keeps_the_job() -> None:
    loop = asyncio.get_running_loop()
    async with running_jobs(never, who="queen") as runner:
        entry = submit(runner, asyncio.Event().wait, lease_s=0.01)
        with runner.watching(entry):
            pass
        over = asyncio.Event()
        with runner.watching(entry):
            loop.call_later(0.03, over.set)
            await over.wait()
            assert not entry.cancel_reason
        assert (await end_of(entry)).state == job_pb2.JOB_STATE_CANCELLED


async def test_without_a_lease_a_job_lives_on_alone() -> None:
    done = asyncio.Event()
    async with running_jobs(never, who="queen") as runner:
        entry = submit(runner, done.wait)
        with runner.watching(entry):
            pass
        asyncio.get_running_loop().call_later(0.02, done.set)
        assert (await end_of(entry)).state == job_pb2.JOB_STATE_COMPLETED


async def test_the_block_cancels_what_still_runs_and_waits_for_it() -> None:
    async with running_jobs(never, who="hive") as runner:
        entries = [submit(runner, asyncio.Event().wait, job_id=f"j-{n}") for n in range(5)]
        await asyncio.sleep(0)
    assert {(await end_of(entry)).error.message for entry in entries} == {"the hive stops"}
    with pytest.raises(UnavailableError, match="the hive stops"):
        submit(runner, asyncio.Event().wait, job_id="late")
    assert runner.registry.find("late") is None
