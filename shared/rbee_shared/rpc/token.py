"""The owner's token: who may call over TCP on loopback, where every local user can connect.

It is a file that the owner alone can read, made at first use; a client puts it in the metadata as
`authorization: Bearer <token>`.
"""

import hmac
import os
import re
import secrets
import stat
import tempfile
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeAlias

import grpc

from rbee_shared.errors import FailedPreconditionError, UnauthenticatedError
from rbee_shared.rpc.errors import abort_with

AUTHORIZATION_KEY = "authorization"

_TOKEN = re.compile(r"[A-Za-z0-9_-]{32,}")

Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any] | None"  # generic in stubs only


def owner_token(file: Path) -> str:
    """Return the token in `file`, which is made with mode 0600 if it does not exist.

    Raises:
        FailedPreconditionError: others can read the file, or it does not hold a token.
    """
    _make_once(file)
    if stat.S_IMODE(file.stat().st_mode) & 0o077:
        raise FailedPreconditionError(
            f"the token file `{file}` can be read by others",
            reason="TOKEN_EXPOSED",
            hint="remove it: a new one is made",
        )
    token = file.read_text(errors="replace").strip()
    if not _TOKEN.fullmatch(token):
        raise FailedPreconditionError(
            f"the token file `{file}` holds no token",
            reason="TOKEN_MALFORMED",
            hint="remove it: a new one is made",
        )
    return token


def _make_once(file: Path) -> None:
    # written apart and then linked, so that nobody ever reads half a token: an empty one would
    # let everybody in
    if file.exists():
        return
    descriptor, written = tempfile.mkstemp(dir=file.parent, prefix=".token-")
    try:
        with os.fdopen(descriptor, "w") as opened:
            opened.write(secrets.token_urlsafe(32) + "\n")
        with suppress(FileExistsError):
            os.link(written, file)
    finally:
        Path(written).unlink()


class TokenInterceptor(grpc.aio.ServerInterceptor):
    """Refuses every call that does not bring the token, whatever the method."""

    def __init__(self, token: str) -> None:
        self._expected = f"Bearer {token}".encode()

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Handler]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Handler:
        """Pass on the call of somebody who knows the token."""
        metadata = dict(handler_call_details.invocation_metadata or ())
        given = metadata.get(AUTHORIZATION_KEY, "")
        brought = given if isinstance(given, bytes) else given.encode()
        handler = await continuation(handler_call_details)
        if handler is None or hmac.compare_digest(brought, self._expected):
            return handler
        return _refusing(handler)


def _refusing(handler: Any) -> Handler:
    async def refuse(_: Any, context: Any) -> None:
        await abort_with(
            context,
            UnauthenticatedError(
                "this address wants the owner's token",
                reason="TOKEN_MISSING",
                hint="send `authorization: Bearer <token>`; `rbee queen status` names the file",
            ),
        )

    codec = (handler.request_deserializer, handler.response_serializer)
    if handler.request_streaming:
        return grpc.stream_stream_rpc_method_handler(refuse, *codec)
    if handler.response_streaming:
        return grpc.unary_stream_rpc_method_handler(refuse, *codec)
    return grpc.unary_unary_rpc_method_handler(refuse, *codec)
