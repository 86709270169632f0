"""WorkerService: requests in, the story of each out, by the same runner as every job."""

import asyncio
import itertools
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from functools import partial
from typing import Any, Protocol

import grpc
import psutil

from rbee.v1 import (
    job_pb2,
    operation_pb2,
    worker_service_pb2 as pb,
    worker_service_pb2_grpc as rpc,
)
from rbee_shared.errors import InvalidArgumentError, JobCancelledError
from rbee_shared.jobs.runner import Execute, JobRunner
from rbee_shared.limits import (
    EMBED_INPUTS_MAX,
    EMBEDDINGS_BYTES_MAX,
    JOB_TIMEOUT_S,
    SNAPSHOT_INTERVAL_S,
)
from rbee_shared.narration.context import current
from rbee_shared.narration.narrate import tell_completion
from rbee_worker.engine.load import Load
from rbee_worker.engine.request import Embeddings, Finish, Output, Request
from rbee_worker.wire import answers
from rbee_worker.wire.requests import request_of

Context = grpc.aio.ServicerContext[Any, Any]

VALUE_BYTES = 4  # of a vector's number on the wire
VECTOR_BYTES = 16  # around the numbers of one vector, at most
LOAD_SPACING_S = 0.1


class Serving(Protocol):
    """What is served: an engine, as far as its callers see it."""

    @property
    def load(self) -> Load:
        """What it is doing now."""
        ...

    @property
    def slots(self) -> int:
        """Answers that are written at once, at most."""
        ...

    @property
    def embedding_size(self) -> int:
        """Numbers of a vector that it makes of a text.

        Raises:
            UnimplementedError: the model has no vectors to give.
        """
        ...

    def generate(self, request: Request) -> AsyncGenerator[Output]:
        """Yield the pieces of all answers; each answer's last says how it ended.

        Raises:
            RbeeError: why there is no answer.
        """
        ...

    async def embed(self, texts: Sequence[str]) -> Embeddings:
        """Turn texts into vectors.

        Raises:
            RbeeError: why there are none.
        """
        ...


class WorkerService(rpc.WorkerServiceServicer):
    """Serves one engine."""

    def __init__(
        self, model: str, engine: Serving, runner: JobRunner, pause_s: Callable[[], float]
    ) -> None:
        self._model = model
        self._engine = engine
        self._runner = runner
        self._pause_s = pause_s
        self._numbers = itertools.count(1)

    async def Generate(
        self, request: pb.GenerateRequest, context: Context
    ) -> AsyncGenerator[pb.GenerateResponse]:
        asked = request_of(request)
        async with aclosing(self._done(context, "infer", partial(self._answer, asked))) as batches:
            async for events in batches:
                yield pb.GenerateResponse(events=events)

    async def Embed(
        self, request: pb.EmbedRequest, context: Context
    ) -> AsyncGenerator[pb.EmbedResponse]:
        texts = tuple(request.inputs)
        check_fits(len(texts), self._engine.embedding_size)
        async with aclosing(self._done(context, "embed", partial(self._embed, texts))) as batches:
            async for events in batches:
                yield pb.EmbedResponse(events=events)

    async def WatchWorker(
        self, request: pb.WatchWorkerRequest, context: Context
    ) -> AsyncGenerator[pb.WatchWorkerResponse]:
        process = psutil.Process()
        while not self._runner.is_closed:  # a server that stops waits for its streams
            yield pb.WatchWorkerResponse(
                model=self._model,
                load=answers.load_to_proto(self._engine.load, slots=self._engine.slots),
                resident_memory_bytes=process.memory_info().rss,
            )
            await self._until_changed()

    async def _until_changed(self) -> None:
        load = self._engine.load
        seen = (load.running, load.waiting)
        clock = asyncio.get_running_loop().time
        deadline_s = clock() + SNAPSHOT_INTERVAL_S
        while True:
            await asyncio.sleep(LOAD_SPACING_S)
            has_changed = (load.running, load.waiting) != seen or self._runner.is_closed
            if has_changed or clock() >= deadline_s:
                return

    async def _done(
        self, context: Context, kind: str, execute: Execute
    ) -> AsyncGenerator[list[job_pb2.JobEvent]]:
        """Do the work as a job that ends with the call, and yield what it says."""
        # one job may call more than once, so the call has a number of its own here
        job = job_pb2.Job(
            id=f"{current().job_id or 'call'}.{next(self._numbers)}",
            correlation_id=current().correlation_id,
            private=True,  # nobody can come back for it here
        )
        entry = self._runner.submit(
            job,
            timeout_s=context.time_remaining() or JOB_TIMEOUT_S[kind][0],
            lease_s=0.0,
            execute=execute,
        )
        with self._runner.watching(entry):
            async for events in entry.log.follow(0, self._pause_s):
                yield events

    async def _answer(self, request: Request, _: operation_pb2.Operation) -> operation_pb2.Result:
        finishes: dict[int, Finish] = {}
        async with aclosing(self._engine.generate(request)) as outputs:
            async for output in outputs:
                if output.token_ids or output.text:
                    tell_completion(answers.completion_of(output))
                if output.finish is not None:
                    finishes[output.index] = output.finish
        if len(finishes) < request.sampling.n:
            raise JobCancelledError("the engine ended the answer")
        return answers.result_of(finishes)

    async def _embed(
        self, texts: Sequence[str], _: operation_pb2.Operation
    ) -> operation_pb2.Result:
        begin_s = time.monotonic()
        embeddings = await self._engine.embed(texts)
        return answers.vectors_of(embeddings, total_s=time.monotonic() - begin_s)


def check_fits(count: int, size: int) -> None:
    """Refuse vectors that do not fit into one message.

    Args:
        count: how many.
        size: numbers of each.

    Raises:
        InvalidArgumentError: there are none, too many, or too large ones, with both numbers.
    """
    if not 1 <= count <= EMBED_INPUTS_MAX:
        raise InvalidArgumentError(
            f"1 to {EMBED_INPUTS_MAX} texts are taken at once, these are {count}",
            reason="INPUTS_MALFORMED",
            hint="send them in several parts",
        )
    fitting = EMBEDDINGS_BYTES_MAX // (VALUE_BYTES * size + VECTOR_BYTES)
    if count > fitting:
        raise InvalidArgumentError(
            f"{count} vectors of {size} numbers do not fit into one message, {fitting} do",
            reason="EMBEDDINGS_TOO_LARGE",
            hint=f"send at most {fitting} texts at once to this model",
        )
