"""The job context across a hop: one server interceptor and two client interceptors.

The server sets the contextvar once a call; handlers, generators, TaskGroup children and
`asyncio.to_thread` inherit it, because grpc.aio runs interceptor and handler in one task. A client
interceptor that is both unary-unary and unary-stream registers for unary-unary only, so there is
one class for each.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias

import grpc

from rbee_shared.limits import CALL_TIMEOUT_S
from rbee_shared.narration.context import JOB, NO_JOB, JobContext, Story, current
from rbee_shared.narration.redact import clean_name

JOB_ID_KEY = "rbee-job-id"
CORRELATION_ID_KEY = "rbee-correlation-id"

Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any] | None"  # generic in stubs only
FindStory = Callable[[str], Story | None]


class ContextInterceptor(grpc.aio.ServerInterceptor):
    """Sets the job context of every call from its metadata.

    What a handler tells goes to the story of that job, if this process knows it.
    """

    def __init__(self, find_story: FindStory) -> None:
        self._find_story = find_story

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Handler]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Handler:
        """Set the contextvar; it needs no reset, since a call has a task of its own."""
        metadata = dict(handler_call_details.invocation_metadata or ())
        job_id = str(metadata.get(JOB_ID_KEY, ""))
        JOB.set(
            JobContext(
                job_id=job_id,
                correlation_id=clean_name(str(metadata.get(CORRELATION_ID_KEY, ""))),
                story=self._find_story(job_id) if job_id else None,
            )
            if job_id or CORRELATION_ID_KEY in metadata
            else NO_JOB
        )
        return await continuation(handler_call_details)


class UnaryUnaryContext(grpc.aio.UnaryUnaryClientInterceptor):
    """Puts the job context on every unary call."""

    async def intercept_unary_unary(
        self, continuation: Any, client_call_details: Any, request: Any
    ) -> Any:
        """Call on with the context's metadata and time; `CALL_TIMEOUT_S` where there is none."""
        details = _with_context(client_call_details, otherwise_s=CALL_TIMEOUT_S)
        return await continuation(details, request)


class UnaryStreamContext(grpc.aio.UnaryStreamClientInterceptor):
    """Puts the job context on every server-streaming call."""

    async def intercept_unary_stream(
        self, continuation: Any, client_call_details: Any, request: Any
    ) -> Any:
        """Call on with the context's metadata and time."""
        details = _with_context(client_call_details, otherwise_s=None)
        return await continuation(details, request)


def _with_context(details: Any, *, otherwise_s: float | None) -> grpc.aio.ClientCallDetails:
    context = current()
    metadata = grpc.aio.Metadata(*(details.metadata or ()))
    if context.job_id and JOB_ID_KEY not in metadata:
        metadata[JOB_ID_KEY] = context.job_id
    if context.correlation_id and CORRELATION_ID_KEY not in metadata:
        metadata[CORRELATION_ID_KEY] = context.correlation_id
    timeout_s = details.timeout
    if timeout_s is None and context.deadline_s is not None:
        timeout_s = max(0.0, context.deadline_s - asyncio.get_running_loop().time())
    if timeout_s is None:
        timeout_s = otherwise_s
    return grpc.aio.ClientCallDetails(
        details.method, timeout_s, metadata, details.credentials, details.wait_for_ready
    )
