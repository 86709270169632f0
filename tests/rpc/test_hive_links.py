"""One set of tests for both kinds of links: a caller cannot tell how far away its hive is."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import pytest

from rbee.v1 import inference_pb2, job_pb2, operation_pb2 as pb
from rbee_queen.hive_link import HiveLink
from rbee_shared.errors import FailedPreconditionError, RbeeError, UnavailableError
from rbee_shared.jobs.runner import Execute
from rbee_shared.narration.context import JOB, JobContext, current
from rbee_shared.narration.narrate import narrate, set_component, tell_completion
from tests.hives import STATUS, ScriptedHive, queen_jobs, remote, story, told

Linked = Callable[[Execute], AbstractAsyncContextManager[HiveLink]]

COMPLETED, FAILED, CANCELLED = (
    job_pb2.JOB_STATE_COMPLETED,
    job_pb2.JOB_STATE_FAILED,
    job_pb2.JOB_STATE_CANCELLED,
)


def done(version: str) -> pb.Result:
    return pb.Result(status=pb.StatusResult(version=version))


@pytest.fixture(params=["local", "remote"])
def linked(request: pytest.FixtureRequest, tmp_path: Path) -> Linked:
    """How to have a hive whose work is the test's own, in this process and behind a socket."""

    @asynccontextmanager
    async def linked_hive(execute: Execute) -> AsyncGenerator[HiveLink]:
        hive = ScriptedHive("attic", execute)
        if request.param == "local":
            yield hive.local()
            return
        async with remote(hive, tmp_path / "s") as (link, _):
            yield link

    return linked_hive


async def test_all_that_the_hive_tells_lands_in_the_callers_job_in_order(linked: Linked) -> None:
    async def work(operation: pb.Operation) -> pb.Result:
        narrate("step", "looking")
        for token in ("a", "b"):
            tell_completion(inference_pb2.Completion(text=token, token_ids=[1]))
        await asyncio.to_thread(narrate, "step", "in a thread")
        tell_completion(inference_pb2.Completion(text="c", token_ids=[2]))
        return done(operation.worker_logs.worker_id)

    async with linked(work) as hive, queen_jobs() as jobs:
        asked = pb.Operation(worker_logs=pb.WorkerLogsOperation(worker_id="w-1"))
        entry = jobs.submit("j-1", hive.run, asked)
        events = await story(entry)
    assert told(events) == ["looking", "'ab'", "in a thread", "'c'"]
    assert {e.narration.correlation_id for e in events if e.HasField("narration")} == {"c-j-1"}
    assert events[-2].result == done("w-1")
    assert events[-1].state.state == COMPLETED


async def test_the_terms_of_a_job_go_with_it(linked: Linked) -> None:
    async def work(_: pb.Operation) -> pb.Result:
        return done(f"{current().priority} {current().private}")

    async with linked(work) as hive, queen_jobs() as jobs:
        job = job_pb2.Job(id="j-1", operation=STATUS, priority=job_pb2.PRIORITY_BATCH, private=True)
        entry = jobs.runner.submit(job, timeout_s=9.0, lease_s=None, execute=hive.run)
        events = await story(entry)
    assert events[-2].result == done("2 True")


@pytest.mark.parametrize(
    "error",
    [
        FailedPreconditionError("it sleeps", reason="ASLEEP", hint="wake it"),
        UnavailableError("the worker died", reason="WORKER_LOST", hint="again"),
        RbeeError("no idea", reason="ODD", hint="ask"),
    ],
    ids=lambda error: error.reason,
)
async def test_an_error_keeps_kind_reason_and_hint(linked: Linked, error: RbeeError) -> None:
    calls: list[str] = []

    async def work(_: pb.Operation) -> pb.Result:
        calls.append(current().job_id)
        narrate("step", "trying")
        raise error

    async with linked(work) as hive, queen_jobs() as jobs:
        entry = jobs.submit("j-1", hive.run)
        events = await story(entry)
    end = events[-1].state
    assert (end.state, end.error.code) == (FAILED, error.code)
    assert (end.error.reason, end.error.message, end.error.hint) == (
        error.reason,
        str(error),
        error.hint,
    )
    assert told(events) == ["trying"]  # and of no stream that broke
    assert calls == ["j-1"]


async def test_a_bug_on_the_hive_is_told_as_one(linked: Linked) -> None:
    async def work(_: pb.Operation) -> pb.Result:
        raise ZeroDivisionError

    async with linked(work) as hive, queen_jobs() as jobs:
        end = (await story(jobs.submit("j-1", hive.run)))[-1].state
    assert (end.state, end.error.reason) == (FAILED, "INTERNAL")
    assert end.error.message == "rbee has a bug (ZeroDivisionError)"


async def test_cancelling_the_caller_stops_the_work_on_the_hive(linked: Linked) -> None:
    started, cleaned = asyncio.Event(), asyncio.Event()

    async def work(_: pb.Operation) -> pb.Result:
        try:
            started.set()
            await asyncio.Event().wait()
        finally:
            cleaned.set()
        raise AssertionError

    async with linked(work) as hive, queen_jobs() as jobs:
        entry = jobs.submit("j-1", hive.run)
        await started.wait()
        jobs.runner.cancel("j-1", "enough")
        end = (await story(entry))[-1].state
        await cleaned.wait()
    assert (end.state, end.error.message) == (CANCELLED, "enough")


async def test_the_time_of_the_caller_is_the_time_of_the_work(linked: Linked) -> None:
    cleaned = asyncio.Event()

    async def work(_: pb.Operation) -> pb.Result:
        try:
            await asyncio.Event().wait()
        finally:
            cleaned.set()
        raise AssertionError

    async with linked(work) as hive, queen_jobs() as jobs:
        end = (await story(jobs.submit("j-1", hive.run, timeout_s=0.1)))[-1].state
        await cleaned.wait()
    assert (end.state, end.error.reason) == (FAILED, "DEADLINE_EXCEEDED")


async def test_work_that_is_cancelled_by_nobody_ends_the_job_as_cancelled(linked: Linked) -> None:
    async def work(_: pb.Operation) -> pb.Result:
        raise asyncio.CancelledError

    async with linked(work) as hive, queen_jobs() as jobs:
        end = (await story(jobs.submit("j-1", hive.run)))[-1].state
    assert end.state == CANCELLED


async def test_twenty_jobs_at_once_never_mix(linked: Linked) -> None:
    count, here, all_here = 20, set[str](), asyncio.Event()

    async def work(_: pb.Operation) -> pb.Result:
        mine = current().job_id
        narrate("step", "first of {job}", job=mine)
        here.add(mine)
        if len(here) == count:
            all_here.set()
        await all_here.wait()
        narrate("step", "second of {job}", job=mine)
        for token in ("a", "b", "c"):
            tell_completion(inference_pb2.Completion(text=f"{token}{mine} ", token_ids=[1]))
            await asyncio.sleep(0)
        await asyncio.to_thread(narrate, "step", f"third of {mine}")
        return done(mine)

    async with linked(work) as hive, queen_jobs() as jobs:
        entries = [jobs.submit(f"j-{number}", hive.run) for number in range(count)]
        stories = {entry.id: await story(entry) for entry in entries}
    for job_id, events in stories.items():
        said = told(events)
        tokens = "".join(each.strip("'") for each in said if each.startswith("'"))
        assert tokens == f"a{job_id} b{job_id} c{job_id} "
        sentences = [each for each in said if not each.startswith("'")]
        assert sentences == [f"{ordinal} of {job_id}" for ordinal in ("first", "second", "third")]
        narrations = [event.narration for event in events if event.HasField("narration")]
        assert {each.correlation_id for each in narrations} == {f"c-{job_id}"}
        assert events[-2].result == done(job_id)
        assert events[-1].state.state == COMPLETED


async def test_nothing_that_the_work_sets_leaks_into_its_caller(linked: Linked) -> None:
    async def work(_: pb.Operation) -> pb.Result:
        JOB.set(JobContext("j-spoilt"))
        set_component("spoilt")
        return done("1")

    async with linked(work) as hive, queen_jobs() as jobs:

        async def call(operation: pb.Operation) -> pb.Result:
            before = current()
            narrate("step", "before")
            result = await hive.run(operation)
            assert current() is before
            narrate("step", "after")
            return result

        events = await story(jobs.submit("j-1", call))
    before, after = (event.narration for event in events if event.HasField("narration"))
    assert (before.human, after.human) == ("before", "after")
    assert before.actor == after.actor
    assert events[-1].state.state == COMPLETED


async def test_what_a_hive_in_the_queen_tells_is_told_by_a_hive(tmp_path: Path) -> None:
    async def work(_: pb.Operation) -> pb.Result:
        narrate("step", "here")
        return done("1")

    async with queen_jobs() as jobs:
        events = await story(jobs.submit("j-1", ScriptedHive("attic", work).local().run))
    assert [e.narration.actor for e in events if e.HasField("narration")] == ["hive"]
