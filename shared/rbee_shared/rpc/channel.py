"""A channel to a peer: limits, keepalive, quick reconnection, and the job context on every call."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import grpc

from rbee_shared.limits import (
    CONNECT_TIMEOUT_S,
    KEEPALIVE_S,
    MESSAGE_BYTES_MAX,
    METADATA_BYTES_MAX,
    PING_TIMEOUT_S,
    RECONNECT_S,
    RECONNECT_S_MAX,
)
from rbee_shared.rpc.context import UnaryStreamContext, UnaryUnaryContext

OPTIONS = [
    ("grpc.max_receive_message_length", MESSAGE_BYTES_MAX),
    ("grpc.max_send_message_length", MESSAGE_BYTES_MAX),
    ("grpc.max_metadata_size", METADATA_BYTES_MAX),
    ("grpc.keepalive_time_ms", int(KEEPALIVE_S * 1000)),
    ("grpc.keepalive_timeout_ms", int(PING_TIMEOUT_S * 1000)),
    ("grpc.http2.ping_timeout_ms", int(PING_TIMEOUT_S * 1000)),  # keepalive_timeout has no effect
    ("grpc.initial_reconnect_backoff_ms", int(RECONNECT_S * 1000)),
    # no pause at all, whatever its name says: the time that one attempt to connect has
    ("grpc.min_reconnect_backoff_ms", int(CONNECT_TIMEOUT_S * 1000)),
    ("grpc.max_reconnect_backoff_ms", int(RECONNECT_S_MAX * 1000)),
    ("grpc.enable_http_proxy", 0),  # peers are ours; a proxy of the environment is for the web
]


@asynccontextmanager
async def connected(target: str) -> AsyncGenerator[grpc.aio.Channel]:
    """Open a channel to `target` (`unix:/path` or `host:port`) for the block."""
    channel = grpc.aio.insecure_channel(
        target, options=OPTIONS, interceptors=[UnaryUnaryContext(), UnaryStreamContext()]
    )
    async with channel:
        yield channel
