"""Errors across a call: kind, message, reason and hint, from any kind of method."""

import asyncio
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2, status_pb2

from rbee_shared.errors import (
    DataLossError,
    FailedPreconditionError,
    ModelNotFoundError,
    NotFoundError,
    RbeeError,
    UnavailableError,
    known,
)
from rbee_shared.limits import STATUS_TEXT_LENGTH_MAX
from rbee_shared.rpc.channel import connected
from rbee_shared.rpc.errors import DETAILS, rpc_errors
from rbee_shared.rpc.server import serving

Fail = Callable[[Any], Awaitable[None]]
Calls = list[Callable[[], Awaitable[Any]]]


@asynccontextmanager
async def failing(fail: Fail) -> AsyncGenerator[tuple[Calls, grpc.aio.Channel]]:
    """Serve a unary, a streaming and a late failing streaming method; yield calls of each."""

    async def one(_: bytes, context: Any) -> bytes:
        await fail(context)
        return b""

    async def many(request: bytes, context: Any) -> AsyncGenerator[bytes]:
        if request == b"late":
            yield b"first"
        await fail(context)
        yield b""

    def add_services(server: grpc.aio.Server) -> list[str]:
        handlers: dict[str, grpc.RpcMethodHandler[Any, Any]] = {
            "One": grpc.unary_unary_rpc_method_handler(one),
            "Many": grpc.unary_stream_rpc_method_handler(many),
        }
        generic = grpc.method_handlers_generic_handler("test.Failing", handlers)
        server.add_generic_rpc_handlers((generic,))
        return []

    async with (
        asyncio.timeout(10),
        serving("127.0.0.1:0", add_services, find_story=lambda _: None, grace_s=0) as target,
        connected(target) as channel,
    ):
        untyped: Any = channel  # its stubs know typed messages only
        unary = untyped.unary_unary("/test.Failing/One")
        stream = untyped.unary_stream("/test.Failing/Many")

        async def drain(request: bytes) -> list[bytes]:
            return [response async for response in stream(request)]

        yield [lambda: unary(b""), lambda: drain(b""), lambda: drain(b"late")], channel


async def error_of(call: Callable[[], Awaitable[Any]]) -> RbeeError:
    with pytest.raises(RbeeError) as error:
        async with rpc_errors("hive `attic`"):
            await call()
    return error.value


async def errors_of(fail: Fail) -> list[RbeeError]:
    async with failing(fail) as (calls, _):
        return [await error_of(call) for call in calls]


@pytest.mark.parametrize("kind", [RbeeError, *RbeeError.__subclasses__()])
async def test_every_kind_arrives_as_itself(kind: type[RbeeError]) -> None:
    async def fail(_: Any) -> None:
        raise kind("it `is` so", reason="SO", hint="do this")

    for error in await errors_of(fail):
        assert error.code == kind.code
        assert (str(error), error.reason, error.hint) == ("it `is` so", "SO", "do this")


async def test_an_error_in_a_group_arrives_as_itself() -> None:
    async def fail(_: Any) -> None:
        async with asyncio.TaskGroup(), asyncio.TaskGroup():
            raise ModelNotFoundError("tiny")

    for error in await errors_of(fail):
        assert isinstance(error, NotFoundError)
        assert (error.reason, error.hint) == ("MODEL_NOT_FOUND", ModelNotFoundError.hint)


@pytest.mark.parametrize("bug", [ValueError("x"), ExceptionGroup("g", [ValueError("x")])])
async def test_a_bug_is_unknown_and_logged(
    bug: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    async def fail(_: Any) -> None:
        raise bug

    with caplog.at_level(logging.ERROR):
        errors = await errors_of(fail)
    for error in errors:
        assert type(error) is RbeeError
        assert str(error).startswith("hive `attic`: ")
    assert known(bug) is None
    assert "ValueError" in caplog.text


@pytest.mark.parametrize("letter", ["x", "ß", "🐝"])
async def test_the_longest_error_still_arrives(letter: str) -> None:
    async def fail(_: Any) -> None:
        raise FailedPreconditionError(letter * 100_000, reason="LONG", hint=letter * 100_000)

    for error in await errors_of(fail):
        assert isinstance(error, FailedPreconditionError)
        assert error.reason == "LONG"
        assert len(str(error)) == len(error.hint) == STATUS_TEXT_LENGTH_MAX


async def test_secrets_and_controls_do_not_cross() -> None:
    async def fail(_: Any) -> None:
        raise DataLossError("key=abc\x1b[31m\ud800", reason="A B", hint="token=abc\n")

    for error in await errors_of(fail):
        assert (str(error), error.reason) == ("key=[REDACTED]", "A_B")
        assert error.hint == "token=[REDACTED] "


def foreign_details() -> list[bytes]:
    other = status_pb2.Status()
    other.details.add().Pack(error_details_pb2.RetryInfo())
    broken = status_pb2.Status()
    broken.details.add(
        type_url="type.googleapis.com/google.rpc.ErrorInfo", value=b"\xff\xff\xff\xff"
    )
    return [b"", b"\xff\xff\xff", other.SerializeToString(), broken.SerializeToString()]


@pytest.mark.parametrize("details", foreign_details())
async def test_a_peer_of_another_kind_is_understood_as_far_as_it_goes(details: bytes) -> None:
    async def fail(context: Any) -> None:
        await context.abort(grpc.StatusCode.NOT_FOUND, "gone\x1b[31m", ((DETAILS, details),))

    for error in await errors_of(fail):
        assert type(error) is NotFoundError
        assert (str(error), error.reason) == ("hive `attic`: gone", "NOT_FOUND")


async def test_what_a_peer_says_is_cleaned() -> None:
    info = error_details_pb2.ErrorInfo(reason="\x1b[31m", metadata={"hint": "key=abc\x1b[0m"})
    status = status_pb2.Status()
    status.details.add().Pack(info)

    async def fail(context: Any) -> None:
        details = ((DETAILS, status.SerializeToString()),)
        await context.abort(grpc.StatusCode.NOT_FOUND, "gone", details)

    for error in await errors_of(fail):
        assert "\x1b" not in error.reason
        assert error.hint == "key=[REDACTED]"


async def test_a_peer_that_is_not_there_is_unavailable() -> None:
    async with connected("127.0.0.1:1") as channel:
        untyped: Any = channel
        unary = untyped.unary_unary("/test.Failing/One")
        error = await error_of(lambda: unary(b"", timeout=5))
    assert type(error) is UnavailableError
    assert str(error).startswith("hive `attic`: ")


async def test_a_channel_closed_under_a_call_is_not_the_callers_cancel() -> None:
    started: asyncio.Queue[None] = asyncio.Queue()

    async def hang(_: Any) -> None:
        started.put_nowait(None)
        await asyncio.Event().wait()

    async with failing(hang) as (calls, channel), asyncio.TaskGroup() as tasks:
        waiting = [tasks.create_task(error_of(call)) for call in calls]
        for _ in calls:
            await started.get()
        await channel.close()
    for task in waiting:
        assert type(task.result()) is UnavailableError


async def test_the_callers_own_cancel_stays_one() -> None:
    started = asyncio.Event()

    async def hang(_: Any) -> None:
        started.set()
        await asyncio.Event().wait()

    async with failing(hang) as (calls, _):
        task = asyncio.ensure_future(error_of(calls[1]))
        await started.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
