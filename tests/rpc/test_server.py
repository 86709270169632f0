"""A server's edges: health, reflection, addresses, the token, the size of messages."""

import asyncio
import stat
from collections.abc import AsyncGenerator, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from rbee_shared.errors import FailedPreconditionError
from rbee_shared.limits import MESSAGE_BYTES_MAX
from rbee_shared.rpc.channel import connected
from rbee_shared.rpc.server import serving
from rbee_shared.rpc.token import TokenInterceptor, owner_token

_health: Any = health_pb2
_health_grpc: Any = health_pb2_grpc
_reflection: Any = reflection_pb2
_reflection_grpc: Any = reflection_pb2_grpc

JOB_SERVICE = "rbee.v1.JobService"
TOKEN = "t" * 43
METHODS = ["One", "Many"]


def add_services(server: grpc.aio.Server) -> list[str]:
    async def one(request: bytes, _: Any) -> bytes:
        return request

    async def many(request: bytes, _: Any) -> AsyncGenerator[bytes]:
        yield request

    handlers: dict[str, grpc.RpcMethodHandler[Any, Any]] = {
        "One": grpc.unary_unary_rpc_method_handler(one),
        "Many": grpc.unary_stream_rpc_method_handler(many),
    }
    generic = grpc.method_handlers_generic_handler(JOB_SERVICE, handlers)
    server.add_generic_rpc_handlers((generic,))
    return [JOB_SERVICE]


def served(
    listen: str = "127.0.0.1:0", interceptors: Sequence[grpc.aio.ServerInterceptor] = ()
) -> AbstractAsyncContextManager[str]:
    return serving(
        listen, add_services, find_story=lambda _: None, interceptors=interceptors, grace_s=0
    )


async def call(channel: Any, method: str, request: bytes = b"", **options: Any) -> Any:
    """Call one of the methods above, health or reflection, and return all that comes back."""
    options.setdefault("timeout", 10)
    path = f"/{JOB_SERVICE}/{method}"
    match method:
        case "Many":
            responses = channel.unary_stream(path)(request, **options)
            return [response async for response in responses]
        case "Check":
            stub = _health_grpc.HealthStub(channel)
            asked = _health.HealthCheckRequest(service=JOB_SERVICE)
            return (await stub.Check(asked, **options)).status
        case "Reflect":
            stub = _reflection_grpc.ServerReflectionStub(channel)
            asked = _reflection.ServerReflectionRequest(list_services="")
            responses = [each async for each in stub.ServerReflectionInfo(iter([asked]), **options)]
            return {each.name for each in responses[0].list_services_response.service}
        case _:
            return await channel.unary_unary(path)(request, **options)


async def code_of(channel: grpc.aio.Channel, method: str, **options: Any) -> grpc.StatusCode:
    try:
        await call(channel, method, **options)
    except grpc.aio.AioRpcError as error:
        return error.code()
    return grpc.StatusCode.OK


async def test_health_and_reflection_are_answered() -> None:
    async with served() as target, connected(target) as channel:
        assert await call(channel, "Check") == _health.HealthCheckResponse.SERVING
        names = await call(channel, "Reflect")
    assert {JOB_SERVICE, "grpc.health.v1.Health"} <= names


async def test_a_unix_socket_is_served_too(tmp_path: Path) -> None:
    listen = f"unix:{tmp_path / 'x.sock'}"
    async with served(listen) as target, connected(target) as channel:
        assert target == listen
        assert await call(channel, "One", b"hi") == b"hi"


async def test_a_port_is_served_by_one_server_only() -> None:
    async with served() as target, connected(target) as channel:
        with pytest.raises(FailedPreconditionError) as error:
            async with served(target):
                raise AssertionError
        assert error.value.reason == "ADDRESS_TAKEN"
        assert await call(channel, "One", b"hi") == b"hi"
    async with served(target) as again:
        assert again == target


async def test_after_the_block_nobody_answers() -> None:
    async with served() as target, connected(target) as channel:
        await call(channel, "One")
    async with connected(target) as channel:
        assert await code_of(channel, "One") == grpc.StatusCode.UNAVAILABLE


async def test_a_call_that_runs_gets_its_grace() -> None:
    begun, go_on = asyncio.Event(), asyncio.Event()

    def slow(server: grpc.aio.Server) -> list[str]:
        async def one(request: bytes, _: Any) -> bytes:
            begun.set()
            await go_on.wait()
            return request

        handlers: dict[str, grpc.RpcMethodHandler[Any, Any]] = {
            "One": grpc.unary_unary_rpc_method_handler(one)
        }
        generic = grpc.method_handlers_generic_handler(JOB_SERVICE, handlers)
        server.add_generic_rpc_handlers((generic,))
        return [JOB_SERVICE]

    async with asyncio.timeout(10):
        server = serving("127.0.0.1:0", slow, find_story=lambda _: None, grace_s=5)
        target = await server.__aenter__()
        async with connected(target) as channel:
            running = asyncio.create_task(call(channel, "One", b"hi"))
            await begun.wait()
            ending = asyncio.create_task(server.__aexit__(None, None, None))
            await asyncio.sleep(0)
            go_on.set()
            assert await running == b"hi"
            await ending


@pytest.mark.parametrize("method", METHODS)
async def test_a_message_too_large_is_refused_and_the_server_lives(method: str) -> None:
    too_large = b"x" * (MESSAGE_BYTES_MAX + 1)
    unlimited = [("grpc.max_send_message_length", -1)]
    async with served() as target:
        async with grpc.aio.insecure_channel(target, options=unlimited) as channel:
            found = await code_of(channel, method, request=too_large)
            assert found == grpc.StatusCode.RESOURCE_EXHAUSTED
            assert await call(channel, "One", b"hi") == b"hi"
        async with connected(target) as channel:
            found = await code_of(channel, method, request=too_large)
            assert found == grpc.StatusCode.RESOURCE_EXHAUSTED
            assert await call(channel, "One", b"x" * (MESSAGE_BYTES_MAX - 1000))


@pytest.mark.parametrize("method", [*METHODS, "Check", "Reflect"])
@pytest.mark.parametrize(
    "authorization",
    [None, "", "Bearer", "Bearer ", "Bearer x", TOKEN, f"bearer {TOKEN}", f"Bearer {TOKEN}x"],
)
async def test_without_the_token_no_method_answers(method: str, authorization: str | None) -> None:
    async with (
        served(interceptors=[TokenInterceptor(TOKEN)]) as target,
        connected(target) as channel,
    ):
        metadata = () if authorization is None else (("authorization", authorization),)
        found = await code_of(channel, method, metadata=metadata)
        assert found == grpc.StatusCode.UNAUTHENTICATED


@pytest.mark.parametrize("method", [*METHODS, "Check", "Reflect"])
async def test_with_the_token_every_method_answers(method: str) -> None:
    async with (
        served(interceptors=[TokenInterceptor(TOKEN)]) as target,
        connected(target) as channel,
    ):
        metadata = (("authorization", f"Bearer {TOKEN}"),)
        assert await code_of(channel, method, metadata=metadata) == grpc.StatusCode.OK


async def test_an_unknown_method_is_unimplemented() -> None:
    async with served() as target, connected(target) as channel:
        assert await code_of(channel, "Nothing") == grpc.StatusCode.UNIMPLEMENTED


async def test_a_channel_finds_a_server_that_came_back() -> None:
    async with served() as target:
        pass
    async with connected(target) as channel:
        assert await code_of(channel, "One") == grpc.StatusCode.UNAVAILABLE
        async with served(target):
            assert await call(channel, "One", b"hi", wait_for_ready=True) == b"hi"


def test_the_token_is_made_once_for_the_owner_alone(tmp_path: Path) -> None:
    file = tmp_path / "token"
    token = owner_token(file)
    assert len(token) >= 32
    assert owner_token(file) == token
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert [each.name for each in tmp_path.iterdir()] == ["token"]
    assert owner_token(tmp_path / "other") != token


@pytest.mark.parametrize(
    ("data", "mode", "reason"),
    [
        (b"", 0o600, "TOKEN_MALFORMED"),
        (b"\n", 0o600, "TOKEN_MALFORMED"),
        (b"short\n", 0o600, "TOKEN_MALFORMED"),
        (b"\xff" * 40, 0o600, "TOKEN_MALFORMED"),
        (b"t" * 43, 0o644, "TOKEN_EXPOSED"),
    ],
)
def test_a_token_that_guards_nothing_is_refused(
    tmp_path: Path, data: bytes, mode: int, reason: str
) -> None:
    file = tmp_path / "token"
    file.write_bytes(data)
    file.chmod(mode)
    with pytest.raises(FailedPreconditionError) as error:
        owner_token(file)
    assert error.value.reason == reason
    assert str(file) in str(error.value)
