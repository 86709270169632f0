"""WorkerService: requests in, the story of each out, by the same runner as every job."""

import asyncio
import itertools
from collections.abc import AsyncGenerator, Callable
from functools import partial
from typing import Any

import grpc
import psutil

from rbee.v1 import (
    inference_pb2,
    job_pb2,
    operation_pb2,
    worker_service_pb2 as pb,
    worker_service_pb2_grpc as rpc,
)
from rbee_shared.errors import JobCancelledError
from rbee_shared.jobs.runner import JobRunner
from rbee_shared.limits import JOB_TIMEOUT_S, SNAPSHOT_INTERVAL_S
from rbee_shared.narration.context import current
from rbee_shared.narration.narrate import tell_completion
from rbee_worker import wire
from rbee_worker.engine.engine import Engine
from rbee_worker.engine.request import Request

Context = grpc.aio.ServicerContext[Any, Any]

SLOTS = 1
LOAD_SPACING_S = 0.1


class WorkerService(rpc.WorkerServiceServicer):
    """Serves one engine."""

    def __init__(
        self, model: str, engine: Engine, runner: JobRunner, pause_s: Callable[[], float]
    ) -> None:
        self._model = model
        self._engine = engine
        self._runner = runner
        self._pause_s = pause_s
        self._numbers = itertools.count(1)

    async def Generate(
        self, request: pb.GenerateRequest, context: Context
    ) -> AsyncGenerator[pb.GenerateResponse]:
        asked = wire.request_of(request)
        # one job may call more than once, so the call has a number of its own here
        job = job_pb2.Job(
            id=f"{current().job_id or 'call'}.{next(self._numbers)}",
            correlation_id=current().correlation_id,
            private=True,  # nobody can come back for it here
        )
        entry = self._runner.submit(
            job,
            timeout_s=context.time_remaining() or JOB_TIMEOUT_S["infer"][0],
            lease_s=0.0,
            execute=partial(self._answer, asked),
        )
        with self._runner.watching(entry):
            async for events in entry.log.follow(0, self._pause_s):
                yield pb.GenerateResponse(events=events)

    async def WatchWorker(
        self, request: pb.WatchWorkerRequest, context: Context
    ) -> AsyncGenerator[pb.WatchWorkerResponse]:
        process = psutil.Process()
        while not self._runner.is_closed:  # a server that stops waits for its streams
            yield pb.WatchWorkerResponse(
                model=self._model,
                load=wire.load_to_proto(self._engine.load, slots=SLOTS),
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

    async def _answer(self, request: Request, _: operation_pb2.Operation) -> operation_pb2.Result:
        async for output in self._engine.generate(request):
            if output.token_ids or output.text:
                tell_completion(
                    inference_pb2.Completion(text=output.text, token_ids=output.token_ids)
                )
            if output.finish is not None:
                return wire.result_of(output.finish)
        raise JobCancelledError("the engine ended the answer")
