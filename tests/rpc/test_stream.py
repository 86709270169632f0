"""Silence on a stream: a job with nothing to say says that; a peer that does not is broken."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing, asynccontextmanager
from typing import Any

import grpc
import pytest

from rbee_shared.errors import UnavailableError
from rbee_shared.jobs import log as log_module
from rbee_shared.rpc.channel import connected
from rbee_shared.rpc.server import serving
from rbee_shared.rpc.stream import responses


@asynccontextmanager
async def silent(left: asyncio.Event) -> AsyncGenerator[Any]:
    """Serve a stream that says one thing and then nothing; yield a call of it."""

    async def many(_: bytes, context: Any) -> AsyncGenerator[bytes]:
        try:
            yield b"first"
            await asyncio.Event().wait()
        finally:
            left.set()

    def add_services(server: grpc.aio.Server) -> list[str]:
        handlers: dict[str, grpc.RpcMethodHandler[Any, Any]] = {
            "Many": grpc.unary_stream_rpc_method_handler(many)
        }
        generic = grpc.method_handlers_generic_handler("test.Silent", handlers)
        server.add_generic_rpc_handlers((generic,))
        return []

    async with (
        asyncio.timeout(10),
        serving("127.0.0.1:0", add_services, find_story=lambda _: None, grace_s=0) as target,
        connected(target) as channel,
    ):
        untyped: Any = channel  # its stubs know typed messages only
        yield untyped.unary_stream("/test.Silent/Many")(b"")


async def test_a_silent_peer_is_broken_and_its_call_ended() -> None:
    left = asyncio.Event()
    async with silent(left) as call:
        heard = responses(call, "`attic`", silence_s=0.1)
        assert await anext(heard) == b"first"
        with pytest.raises(UnavailableError, match=r"`attic` said nothing for 0\.1 s"):
            await anext(heard)
        await left.wait()


async def test_leaving_a_stream_ends_its_call() -> None:
    left = asyncio.Event()
    async with silent(left) as call:
        async with aclosing(responses(call, "`attic`")) as heard:
            assert await anext(heard) == b"first"
        await left.wait()


async def test_a_job_with_nothing_to_say_says_so(
    served: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_module, "BOOKMARK_S", 0.05)
    async with served() as server:
        call = server.run("j-1")
        await server.work.started.wait()
        bookmarks = 0
        async for response in call:
            bookmarks += not response.events
            if bookmarks == 3:
                server.work.go_on.set()
        assert bookmarks >= 3
