"""The context over two real hops: whatever a handler tells carries the job's id."""

import asyncio
import json
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from typing import Any, TypeAlias

import grpc
import pytest

from rbee.v1 import (
    inference_pb2,
    job_pb2,
    job_service_pb2 as pb,
    job_service_pb2_grpc as rpc,
    operation_pb2,
)
from rbee_shared.errors import DeadlineExceededError, FailedPreconditionError
from rbee_shared.jobs.relay import relay
from rbee_shared.jobs.runner import Execute, JobRunner
from rbee_shared.limits import CALL_TIMEOUT_S
from rbee_shared.narration.context import JOB, NO_JOB, JobContext, current
from rbee_shared.narration.narrate import narrate, tell_completion
from rbee_shared.rpc.channel import connected
from rbee_shared.rpc.context import CORRELATION_ID_KEY, JOB_ID_KEY
from rbee_shared.rpc.errors import rpc_errors
from rbee_shared.rpc.server import serving

Stub: TypeAlias = "rpc.JobServiceAsyncStub"  # in stubs only
Serve: TypeAlias = "Callable[[Execute], AbstractAsyncContextManager[tuple[Stub, JobRunner]]]"
STATUS = operation_pb2.Operation(status=operation_pb2.StatusOperation())


@asynccontextmanager
async def two_hops(serve: Serve, inner: Execute) -> AsyncGenerator[Stub]:
    """A server whose every operation is done by a second one."""
    async with serve(inner) as (hive, _):

        async def outer(operation: operation_pb2.Operation) -> operation_pb2.Result:
            narrate("place", "queen places {job}", job=current().job_id)
            call = hive.RunJob(pb.RunJobRequest(operation=operation))
            try:
                async with rpc_errors("hive"):
                    return await relay(call, peer="hive")
            finally:
                call.cancel()

        async with serve(outer) as (queen, _):
            yield queen


async def tell_from_everywhere(_: operation_pb2.Operation) -> operation_pb2.Result:
    """Tell from every kind of code, and give the others time to mix."""

    def tell(where: str) -> None:
        narrate("step", "{where} of {job}", where=where, job=current().job_id)

    async def generator() -> AsyncGenerator[int]:
        tell("generator")
        await asyncio.sleep(0)
        yield 0

    async def child() -> None:
        await asyncio.sleep(0)
        tell("child")
        await asyncio.to_thread(tell, "thread of child")

    tell("coroutine")
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(child())
    await asyncio.to_thread(tell, "thread")
    async for number in generator():
        assert number == 0
    tell_completion(inference_pb2.Completion(text=current().job_id))
    version = current().correlation_id
    return operation_pb2.Result(status=operation_pb2.StatusResult(version=version))


async def events_of(stub: Stub, job_id: str) -> list[job_pb2.JobEvent]:
    metadata = ((JOB_ID_KEY, job_id), (CORRELATION_ID_KEY, f"c-{job_id}"))
    call = stub.RunJob(pb.RunJobRequest(operation=STATUS), metadata=metadata, timeout=10)
    return [event async for response in call for event in response.events]


def assert_all_its_own(events: list[job_pb2.JobEvent], job_id: str) -> None:
    told = [event.narration for event in events if event.HasField("narration")]
    assert [each.human for each in told] == [
        f"queen places {job_id}",
        f"coroutine of {job_id}",
        f"child of {job_id}",
        f"thread of child of {job_id}",
        f"thread of {job_id}",
        f"generator of {job_id}",
    ]
    assert {each.correlation_id for each in told} == {f"c-{job_id}"}
    assert [e.completion.text for e in events if e.HasField("completion")] == [job_id]
    assert [e.result.status.version for e in events if e.HasField("result")] == [f"c-{job_id}"]
    assert events[-1].state.state == job_pb2.JOB_STATE_COMPLETED


async def test_what_is_told_two_hops_away_carries_the_job(job_server: Serve) -> None:
    async with two_hops(job_server, tell_from_everywhere) as queen:
        assert_all_its_own(await events_of(queen, "j-1"), "j-1")
    assert current() == NO_JOB


async def test_twenty_jobs_at_once_never_mix(job_server: Serve) -> None:
    async with two_hops(job_server, tell_from_everywhere) as queen, asyncio.TaskGroup() as tasks:
        works = {n: tasks.create_task(events_of(queen, f"j-{n}")) for n in range(20)}
    for number, work in works.items():
        assert_all_its_own(work.result(), f"j-{number}")


async def test_an_error_survives_two_hops_with_reason_and_hint(job_server: Serve) -> None:
    async def fail(_: operation_pb2.Operation) -> operation_pb2.Result:
        raise FailedPreconditionError("it sleeps", reason="ASLEEP", hint="wake it")

    async with two_hops(job_server, fail) as queen:
        end = (await events_of(queen, "j-1"))[-1].state
    assert end.state == job_pb2.JOB_STATE_FAILED
    assert (end.error.code, end.error.reason) == (FailedPreconditionError.code, "ASLEEP")
    assert (end.error.message, end.error.hint) == ("it sleeps", "wake it")


async def test_a_cancel_reaches_the_work_two_hops_away(job_server: Serve) -> None:
    started, cleaned = asyncio.Event(), asyncio.Event()

    async def work(_: operation_pb2.Operation) -> operation_pb2.Result:
        try:
            started.set()
            await asyncio.Event().wait()
        finally:
            cleaned.set()
        raise AssertionError

    infer = operation_pb2.Operation(infer=operation_pb2.InferOperation(model="tiny"))
    async with asyncio.timeout(10), two_hops(job_server, work) as queen:
        call = queen.RunJob(pb.RunJobRequest(operation=infer), metadata=((JOB_ID_KEY, "j-1"),))
        await call.wait_for_connection()
        await started.wait()
        await queen.CancelJob(pb.CancelJobRequest(job_id="j-1", reason="enough"))
        events = [event async for response in call for event in response.events]
        await cleaned.wait()
    assert events[-1].state.state == job_pb2.JOB_STATE_CANCELLED
    assert events[-1].state.error.message == "enough"


@asynccontextmanager
async def echoing() -> AsyncGenerator[grpc.aio.Channel]:
    """A server that answers every call with the metadata and the time that it came with."""

    def heard(context: grpc.aio.ServicerContext[Any, Any]) -> bytes:
        metadata = {key: str(value) for key, value in context.invocation_metadata() or ()}
        seen = {"time": context.time_remaining(), "job": current().job_id}
        return json.dumps({**metadata, **seen}).encode()

    async def one(_: bytes, context: Any) -> bytes:
        if current().job_id == "j-hang":
            await asyncio.Event().wait()
        return heard(context)

    async def many(_: bytes, context: Any) -> AsyncGenerator[bytes]:
        yield heard(context)

    def add_services(server: grpc.aio.Server) -> list[str]:
        handlers: dict[str, grpc.RpcMethodHandler[Any, Any]] = {
            "One": grpc.unary_unary_rpc_method_handler(one),
            "Many": grpc.unary_stream_rpc_method_handler(many),
        }
        generic = grpc.method_handlers_generic_handler("test.Echo", handlers)
        server.add_generic_rpc_handlers((generic,))
        return []

    async with AsyncExitStack() as stack:
        target = await stack.enter_async_context(
            serving("127.0.0.1:0", add_services, find_story=lambda _: None, grace_s=0)
        )
        yield await stack.enter_async_context(connected(target))


async def both(
    channel: grpc.aio.Channel, context: JobContext, **options: Any
) -> list[dict[str, Any]]:
    """Return what the server heard of a unary and of a streaming call in that context."""

    def as_is(message: bytes) -> bytes:
        return message

    codec: dict[str, Callable[[bytes], bytes]] = {
        "request_serializer": as_is,
        "response_deserializer": as_is,
    }
    one: Any = channel.unary_unary("/test.Echo/One", **codec)
    many: Any = channel.unary_stream("/test.Echo/Many", **codec)

    async def calls() -> list[dict[str, Any]]:
        JOB.set(context)
        heard = [await one(b"", **options)]
        heard += [message async for message in many(b"", **options)]
        return [json.loads(message) for message in heard]

    return await asyncio.create_task(calls())


async def test_both_kinds_of_calls_carry_the_context() -> None:
    async with echoing() as channel:
        heard = await both(channel, JobContext("j-1", "c-1"), metadata=(("x-more", "1"),))
    assert len(heard) == 2
    for each in heard:
        assert (each[JOB_ID_KEY], each[CORRELATION_ID_KEY], each["x-more"]) == ("j-1", "c-1", "1")
        assert each["job"] == "j-1"


async def test_without_a_job_nothing_is_carried() -> None:
    async with echoing() as channel:
        one, many = await both(channel, NO_JOB)
    assert JOB_ID_KEY not in one
    assert CORRELATION_ID_KEY not in many
    assert one["job"] == many["job"] == ""


async def test_metadata_that_a_caller_brings_wins() -> None:
    async with echoing() as channel:
        heard = await both(channel, JobContext("j-1"), metadata=((JOB_ID_KEY, "j-2"),))
    assert [each[JOB_ID_KEY] for each in heard] == ["j-2", "j-2"]


async def test_the_time_left_goes_along_and_an_explicit_one_wins() -> None:
    deadline_s = asyncio.get_running_loop().time() + 5
    async with echoing() as channel:
        left = await both(channel, JobContext("j-1", deadline_s=deadline_s))
        asked = await both(channel, JobContext("j-1", deadline_s=deadline_s), timeout=100)
        one, many = await both(channel, NO_JOB)
    assert all(3 < each["time"] < 5.1 for each in left)
    assert all(90 < each["time"] < 102 for each in asked)
    assert 0 < one["time"] < CALL_TIMEOUT_S + 0.1
    assert many["time"] is None


async def test_a_job_out_of_time_waits_for_nobody() -> None:
    deadline_s = asyncio.get_running_loop().time() - 5
    async with asyncio.timeout(5), echoing() as channel:
        with pytest.raises(DeadlineExceededError):
            async with rpc_errors("peer"):
                await both(channel, JobContext("j-hang", deadline_s=deadline_s))
