"""The stream between queen and hive breaks, and what becomes of the job."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AsyncExitStack, aclosing
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

import grpc
import pytest

from rbee.v1 import inference_pb2, job_pb2, operation_pb2 as pb
from rbee_queen import remote_hive
from rbee_queen.remote_hive import REATTACH_MAX, dialled_hive
from rbee_shared.jobs.runner import running_jobs
from rbee_shared.limits import JOB_TIMEOUT_S_DEFAULT
from rbee_shared.narration.narrate import narrate, tell_completion
from tests.hives import ScriptedHive, listening, queen_jobs, remote, story, told

Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any] | None"  # generic in stubs only

BROKE = "the stream from attic broke; attaching again"
TOLD = ["one", "'a'", "two", "'b'", "three"]
EVENT_COUNT = 9  # queued, running, what is told, result, completed


async def tell(_: pb.Operation) -> pb.Result:
    for sentence, token in (("one", "a"), ("two", "b")):
        narrate("step", sentence)
        tell_completion(inference_pb2.Completion(text=token, token_ids=[1]))
    narrate("step", "three")
    return pb.Result(status=pb.StatusResult(version="1"))


class Waiting:
    """Work that tells one thing and waits for its test."""

    def __init__(self) -> None:
        self.started, self.go_on, self.cleaned = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def execute(self, _: pb.Operation) -> pb.Result:
        try:
            narrate("step", "waiting")
            self.started.set()
            await self.go_on.wait()
        finally:
            self.cleaned.set()
        narrate("step", "done")
        return pb.Result(status=pb.StatusResult(version="1"))


class Breaking(grpc.aio.ServerInterceptor):
    """Breaks a method's first streams, each after so many events; None: before it is served."""

    def __init__(self, **event_counts: list[int | None]) -> None:
        self._event_counts = event_counts

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Handler]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Handler:
        handler = await continuation(handler_call_details)
        counts = self._event_counts.get(str(handler_call_details.method).rpartition("/")[2])
        if handler is None or not counts:
            return handler
        serve: Any = handler.unary_stream
        broken = partial(_broken, serve, counts.pop(0))
        codec = (handler.request_deserializer, handler.response_serializer)
        return grpc.unary_stream_rpc_method_handler(broken, *codec)


async def _broken(
    serve: Any, count: int | None, request: Any, context: grpc.aio.ServicerContext[Any, Any]
) -> AsyncGenerator[Any]:
    if count is not None:
        async with aclosing(serve(request, context)) as responses:
            async for response in responses:
                del response.events[count:]
                count -= len(response.events)
                yield response
                if not count:
                    break
    await context.abort(grpc.StatusCode.UNAVAILABLE, "the test breaks the stream")


def without_gap(events: list[job_pb2.JobEvent]) -> list[str]:
    """Insist that the job did all its work and told it once; return what else was told."""
    said = told(events)
    assert [each for each in said if each != BROKE] == TOLD
    assert events[-2].result.status.version == "1"
    assert events[-1].state.state == job_pb2.JOB_STATE_COMPLETED
    return [each for each in said if each == BROKE]


@pytest.mark.parametrize("count", range(EVENT_COUNT))
async def test_a_broken_stream_is_resumed_without_a_gap_or_a_repeat(
    tmp_path: Path, count: int
) -> None:
    hive = ScriptedHive("attic", tell)
    async with remote(hive, tmp_path / "s", Breaking(RunJob=[count])) as (link, runner):
        async with queen_jobs() as jobs:
            events = await story(jobs.submit("j-1", link.run))
        assert without_gap(events) == [BROKE]
        assert [entry.id for entry in runner.registry.page((), 0, "")[0]] == ["j-1"]


async def test_a_stream_may_break_for_ever_as_long_as_there_is_news(tmp_path: Path) -> None:
    hive, rest = ScriptedHive("attic", tell), EVENT_COUNT - 2
    assert rest > REATTACH_MAX
    breaking = Breaking(RunJob=[1], WatchJob=[1] * rest)
    async with remote(hive, tmp_path / "s", breaking) as (link, _), queen_jobs() as jobs:
        events = await story(jobs.submit("j-1", link.run))
    assert len(without_gap(events)) == 1 + rest


async def test_a_stream_that_brings_no_news_again_and_again_is_given_up(tmp_path: Path) -> None:
    work = Waiting()
    hive, breaking = ScriptedHive("attic", work.execute), Breaking(RunJob=[2], WatchJob=[0] * 99)
    async with remote(hive, tmp_path / "s", breaking) as (link, _), queen_jobs() as jobs:
        events = await story(jobs.submit("j-1", link.run))
        await work.cleaned.wait()  # nobody will hear of it: it was cancelled
    assert events[-1].state.error.reason == "HIVE_LOST"
    assert told(events) == [BROKE] * REATTACH_MAX


async def test_a_quiet_job_is_found_again_however_long_it_stays_quiet(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lease_s = 0.5
    monkeypatch.setattr(remote_hive, "HIVE_LEASE_S", lease_s)
    work = Waiting()
    hive, breaking = ScriptedHive("attic", work.execute), Breaking(RunJob=[3])
    async with remote(hive, tmp_path / "s", breaking) as (link, _), queen_jobs() as jobs:
        asyncio.get_running_loop().call_later(2 * lease_s, work.go_on.set)
        events = await story(jobs.submit("j-1", link.run))
    assert told(events) == ["waiting", BROKE, "done"]
    assert events[-1].state.state == job_pb2.JOB_STATE_COMPLETED


async def test_a_hive_that_listens_again_is_come_back_to(tmp_path: Path) -> None:
    work = Waiting()
    hive = ScriptedHive("attic", work.execute)
    async with AsyncExitStack() as stack, running_jobs(work.execute, who="hive") as runner:
        server = await stack.enter_async_context(AsyncExitStack())
        target = await server.enter_async_context(listening(hive, runner, tmp_path / "s"))
        link = await stack.enter_async_context(dialled_hive("attic", target))
        async with queen_jobs() as jobs:
            entry = jobs.submit("j-1", link.run)
            await work.started.wait()
            await server.aclose()
            await stack.enter_async_context(listening(hive, runner, tmp_path / "s"))
            work.go_on.set()
            events = await story(entry)
    assert [each for each in told(events) if each != BROKE] == ["waiting", "done"]
    assert events[-1].state.state == job_pb2.JOB_STATE_COMPLETED


async def test_a_hive_that_stays_away_is_lost_with_its_job(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote_hive, "HIVE_LEASE_S", 0.1)
    work = Waiting()
    hive = ScriptedHive("attic", work.execute)
    async with AsyncExitStack() as stack, running_jobs(work.execute, who="hive") as runner:
        server = await stack.enter_async_context(AsyncExitStack())
        target = await server.enter_async_context(listening(hive, runner, tmp_path / "s"))
        link = await stack.enter_async_context(dialled_hive("attic", target))
        async with queen_jobs() as jobs:
            entry = jobs.submit("j-1", link.run)
            await work.started.wait()
            await server.aclose()
            events = await story(entry)
        await work.cleaned.wait()  # by the lease, for there was nobody to cancel it
    error = events[-1].state.error
    assert (events[-1].state.state, error.reason) == (job_pb2.JOB_STATE_FAILED, "HIVE_LOST")
    assert error.message == "hive `attic` is lost: it was away for 0.1 s"
    assert error.hint


async def test_a_hive_that_comes_back_without_the_job_is_lost_and_nothing_else(
    tmp_path: Path,
) -> None:
    work = Waiting()
    hive = ScriptedHive("attic", work.execute)
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(AsyncExitStack())
        old = await stack.enter_async_context(running_jobs(work.execute, who="old hive"))
        target = await server.enter_async_context(listening(hive, old, tmp_path / "s"))
        new = await stack.enter_async_context(running_jobs(work.execute, who="new hive"))
        link = await stack.enter_async_context(dialled_hive("attic", target))
        async with queen_jobs() as jobs:
            entry = jobs.submit("j-1", link.run)
            await work.started.wait()
            await server.aclose()
            await stack.enter_async_context(listening(hive, new, tmp_path / "s"))
            error = (await story(entry))[-1].state.error
        assert new.registry.find("j-1") is None
    assert error.reason == "HIVE_LOST"
    assert error.message == "hive `attic` is lost: it came back without the job"


async def test_a_job_that_never_reached_the_hive_is_asked_for_again(tmp_path: Path) -> None:
    hive, breaking = ScriptedHive("attic", tell), Breaking(RunJob=[None])
    async with remote(hive, tmp_path / "s", breaking) as (link, _), queen_jobs() as jobs:
        assert without_gap(await story(jobs.submit("j-1", link.run))) == [BROKE]


async def test_a_channel_closed_under_the_job_is_no_bug_and_no_cancel(tmp_path: Path) -> None:
    work = Waiting()
    hive = ScriptedHive("attic", work.execute)
    async with AsyncExitStack() as stack, running_jobs(work.execute, who="hive") as runner:
        target = await stack.enter_async_context(listening(hive, runner, tmp_path / "s"))
        channel = await stack.enter_async_context(AsyncExitStack())
        link = await channel.enter_async_context(dialled_hive("attic", target))
        async with queen_jobs() as jobs:
            entry = jobs.submit("j-1", link.run)
            await work.started.wait()
            await channel.aclose()
            end = (await story(entry))[-1].state
    assert (end.state, end.error.reason) == (job_pb2.JOB_STATE_FAILED, "HIVE_LOST")


async def test_anothers_job_of_the_same_id_is_not_cancelled(tmp_path: Path) -> None:
    work = Waiting()
    hive = ScriptedHive("attic", work.execute)
    other = pb.Operation(worker_list=pb.WorkerListOperation())
    async with remote(hive, tmp_path / "s") as (link, runner), queen_jobs() as jobs:
        request = job_pb2.Job(id="j-1", operation=other)
        theirs = runner.submit(request, timeout_s=20, lease_s=None)
        await work.started.wait()
        end = (await story(jobs.submit("j-1", link.run)))[-1].state
        assert end.error.reason == "JOB_ID_TAKEN"
        assert not theirs.cancel_reason


async def test_the_hive_is_given_the_time_that_the_job_was_given(tmp_path: Path) -> None:
    work = Waiting()
    hive, given_s = ScriptedHive("attic", work.execute), 10 * JOB_TIMEOUT_S_DEFAULT[0]
    async with remote(hive, tmp_path / "s") as (link, runner), queen_jobs() as jobs:
        ours = jobs.submit("j-1", link.run, timeout_s=given_s)
        await work.started.wait()
        theirs = runner.registry.get("j-1")
        apart = ours.request.deadline_time.ToSeconds() - theirs.request.deadline_time.ToSeconds()
        assert abs(apart) <= 2
        work.go_on.set()
        await story(ours)
