"""A gRPC server as an async context manager: listening inside the block, drained after it."""

from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager

import grpc

from rbee_shared.errors import FailedPreconditionError
from rbee_shared.limits import GRACE_S, MESSAGE_BYTES_MAX, METADATA_BYTES_MAX
from rbee_shared.rpc.context import ContextInterceptor, FindStory
from rbee_shared.rpc.errors import ErrorInterceptor
from rbee_shared.rpc.health import Health

OPTIONS = [
    ("grpc.max_receive_message_length", MESSAGE_BYTES_MAX),
    ("grpc.max_send_message_length", MESSAGE_BYTES_MAX),
    ("grpc.max_metadata_size", METADATA_BYTES_MAX),
    ("grpc.so_reuseport", 0),  # else a second daemon would share the port in silence
    ("grpc.http2.min_ping_interval_without_data_ms", 5_000),
    ("grpc.keepalive_permit_without_calls", 1),
]

AddServices = Callable[[grpc.aio.Server], Sequence[str]]


@asynccontextmanager
async def serving(
    listen: str,
    add_services: AddServices,
    *,
    find_story: FindStory,
    interceptors: Sequence[grpc.aio.ServerInterceptor] = (),
    grace_s: float = GRACE_S,
) -> AsyncGenerator[str]:
    """Serve on `listen` and yield the target that clients dial.

    Health and reflection are served besides. On exit new calls are refused and running ones get
    `grace_s` seconds to finish.

    Args:
        listen: `unix:/path`, or `host:port` with port 0 for any free one.
        add_services: adds the servicers and returns the full names of their services.
        find_story: the log of a job by id, for what handlers tell.
        interceptors: run before all others, in order: who may call.
        grace_s: seconds for running calls.

    Raises:
        FailedPreconditionError: the address is taken or not ours.
    """
    server = grpc.aio.server(
        interceptors=[*interceptors, ContextInterceptor(find_story), ErrorInterceptor()],
        options=OPTIONS,
    )
    names = add_services(server)
    health = Health(server, names)
    try:
        port = server.add_insecure_port(listen)
    except RuntimeError as error:
        raise FailedPreconditionError(
            f"cannot listen on `{listen}`",
            reason="ADDRESS_TAKEN",
            hint="another program uses it; `RBEE_QUEEN_LISTEN=127.0.0.1:0` takes a free port",
        ) from error
    await server.start()
    await health.serving()
    try:
        yield listen if listen.startswith("unix:") else f"{listen.rpartition(':')[0]}:{port}"
    finally:
        await health.stopping()
        await server.stop(grace_s)
