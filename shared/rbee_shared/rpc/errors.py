"""Domain errors to gRPC status and back, by their canonical code. The only file that knows both.

`reason` and `hint` travel in google.rpc.ErrorInfo, as https://google.aip.dev/193 has it.
"""

import asyncio
import inspect
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager
from typing import Any, NoReturn, TypeAlias

import grpc
from google.protobuf.message import DecodeError
from google.rpc import error_details_pb2, status_pb2

from rbee_shared.errors import RbeeError, UnavailableError, known, rebuild
from rbee_shared.limits import STATUS_TEXT_LENGTH_MAX
from rbee_shared.narration.redact import clean_name, clean_text

DOMAIN = "rbee"
DETAILS = "grpc-status-details-bin"
STATUS_BY_CODE = {status.value[0]: status for status in grpc.StatusCode}

Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any] | None"  # generic in stubs only


async def abort_with(context: grpc.aio.ServicerContext[Any, Any], error: RbeeError) -> NoReturn:
    """End the call with the status of the error's kind."""
    message = clean_text(str(error), STATUS_TEXT_LENGTH_MAX)
    hint = clean_text(error.hint, STATUS_TEXT_LENGTH_MAX)
    status = status_pb2.Status(code=error.code, message=message)
    info = error_details_pb2.ErrorInfo(
        reason=clean_name(error.reason), domain=DOMAIN, metadata={"hint": hint}
    )
    status.details.add().Pack(info)
    details = ((DETAILS, status.SerializeToString()),)
    await context.abort(STATUS_BY_CODE[error.code], message, details)


class ErrorInterceptor(grpc.aio.ServerInterceptor):
    """Turns every RbeeError that a servicer method raises into its status.

    A bug is not one: grpc answers UNKNOWN and logs its traceback. Methods that write to their
    context instead of returning or yielding (those of grpc's own services) pass through.
    """

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Handler]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Handler:
        """Wrap the handler of one call."""
        handler = await continuation(handler_call_details)
        if handler is None:
            return None  # an unknown method; grpc answers UNIMPLEMENTED
        codec = (handler.request_deserializer, handler.response_serializer)
        if handler.unary_unary is not None:
            return grpc.unary_unary_rpc_method_handler(_one(handler.unary_unary), *codec)
        if inspect.isasyncgenfunction(handler.unary_stream):
            return grpc.unary_stream_rpc_method_handler(_many(handler.unary_stream), *codec)
        return handler


def _one(method: Any) -> Any:
    async def call(request: Any, context: Any) -> Any:
        try:
            return await method(request, context)
        except (RbeeError, ExceptionGroup) as error:
            await abort_with(context, _expected(error))

    return call


def _many(method: Any) -> Any:
    async def call(request: Any, context: Any) -> AsyncIterator[Any]:
        try:
            async with aclosing(method(request, context)) as responses:
                async for response in responses:
                    yield response
        except (RbeeError, ExceptionGroup) as error:
            await abort_with(context, _expected(error))

    return call


def _expected(error: RbeeError | ExceptionGroup[Exception]) -> RbeeError:
    found = known(error)
    if found is None:
        raise error
    return found


@asynccontextmanager
async def rpc_errors(peer: str) -> AsyncGenerator[None]:
    """Raise the RbeeError that the peer meant instead of grpc's own error.

    A channel that is closed under a call ends it as if its caller were cancelled; the caller's task
    knows better.
    """
    try:
        yield
    except grpc.aio.AioRpcError as error:
        raise from_rpc(error, peer) from error
    except grpc.aio.UsageError as error:  # a call on a channel that is closed
        raise _cut(peer) from error
    except asyncio.CancelledError:
        task = asyncio.current_task()
        if task is None or task.cancelling():
            raise
        raise _cut(peer) from None


def from_rpc(error: grpc.aio.AioRpcError, peer: str) -> RbeeError:
    """Rebuild the error: its kind from the status, its reason and hint from ErrorInfo."""
    code, message = error.code().value[0], error.details() or error.code().name
    for key, value in error.trailing_metadata() or ():
        if key == DETAILS and isinstance(value, bytes) and (info := _error_info(value)):
            return rebuild(
                code,
                clean_name(info.reason),
                clean_text(message),
                clean_text(info.metadata["hint"]),
            )
    if error.code() == grpc.StatusCode.CANCELLED:  # the call was cut, which says nothing of the job
        return _cut(peer)
    return rebuild(code, "", f"{peer}: {clean_text(message)}", "")


def _cut(peer: str) -> UnavailableError:
    return UnavailableError(f"{peer}: the call was cut")


def _error_info(details: bytes) -> error_details_pb2.ErrorInfo | None:
    info = error_details_pb2.ErrorInfo()
    try:
        for detail in status_pb2.Status.FromString(details).details:
            if detail.Unpack(info):
                return info
    except DecodeError:
        return None  # the peer speaks another dialect; its code and message still count
    return None
