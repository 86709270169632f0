"""A hive of stand-ins with one model, and a worker's services that a test plays itself."""

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

import grpc
import pytest

from rbee.v1 import (
    hive_pb2,
    hive_service_pb2,
    hive_service_pb2_grpc,
    job_pb2,
    job_service_pb2,
    job_service_pb2_grpc,
    operation_pb2,
    worker_pb2,
    worker_service_pb2 as pb,
    worker_service_pb2_grpc as rpc,
)
from rbee_hive.hive import Hive, opened_hive
from rbee_hive.hive_service import HiveService
from rbee_hive.infer import infer, wanted_for
from rbee_hive.models.description import FORMAT
from rbee_hive.models.metadata import StoredModel
from rbee_hive.operations import execute
from rbee_hive.workers.worker import Worker
from rbee_shared.errors import RbeeError
from rbee_shared.jobs.job_service import JobService
from rbee_shared.jobs.relay import relay
from rbee_shared.jobs.runner import running_jobs
from rbee_shared.paths import resolve
from rbee_shared.rpc.channel import connected
from rbee_shared.rpc.errors import rpc_errors
from rbee_shared.rpc.server import serving
from rbee_shared.settings import Settings
from tests.rpc.hive_pool import error_of, until, use_standins
from tests.rpc.standin_worker import Behaviour

JobStub: TypeAlias = "job_service_pb2_grpc.JobServiceAsyncStub"  # in stubs only
HiveStub: TypeAlias = "hive_service_pb2_grpc.HiveServiceAsyncStub"

CONTEXT_LENGTH = 2_048
DESCRIPTION = {
    "format": FORMAT,
    "name": "Tiny",
    "architecture": "llama",
    "quantization": "int8-block32",
    "licence": "apache-2.0",
    "parameters": 135,
    "context_length": CONTEXT_LENGTH,
    "layers": 2,
    "kv_heads": 3,
    "head_dim": 64,
    "layout": "rbee",
    "kv_value_bytes": 4,
    "chat_template": None,
}


def write_model(folder: Path) -> Path:
    """Write a model of ours, as far as a hive looks at it."""
    folder.mkdir()
    (folder / "model.onnx").write_bytes(b"weights")
    (folder / "tokenizer.json").write_text("{}")
    (folder / "rbee.json").write_text(json.dumps(DESCRIPTION))
    return folder


class House:
    """A hive with one model, and what tests ask of it."""

    def __init__(self, hive: Hive, model: StoredModel) -> None:
        self.hive = hive
        self.model = model

    def behave(self, **behaviour: str) -> None:
        """Say what the model's next workers do."""
        (self.model.folder / "standin.json").write_text(json.dumps(asdict(Behaviour(**behaviour))))

    async def infer(self, prompt: str, **fields: Any) -> operation_pb2.InferResult:
        """Answer outside of a server, as the queen's own process does."""
        return await infer(self.hive, self.asks(prompt=prompt, **fields))

    def asks(self, **fields: Any) -> operation_pb2.InferOperation:
        """Return what is asked of the model, if `fields` names no other."""
        values: dict[str, Any] = {"model": self.model.reference, **fields}
        return operation_pb2.InferOperation(**values)

    async def only(self) -> Worker:
        """Wait until there is a worker, whose process has begun."""
        await until(lambda: any(each.pid for each in self.hive.workers.all()))
        [worker] = self.hive.workers.all()
        return worker

    async def spawn(self) -> Worker:
        """Have a worker of the model."""
        return await self.hive.workers.serving(
            await wanted_for(self.hive, self.model.reference, device="", cores=1)
        )


@asynccontextmanager
async def housed(
    folder: Path, monkeypatch: pytest.MonkeyPatch, settings: Settings | None = None
) -> AsyncGenerator[House]:
    """Open a hive for the block, with a model that stand-ins serve."""
    use_standins(monkeypatch)
    paths = resolve({"RBEE_HOME": str(folder / "home")}).create()
    async with (
        asyncio.timeout(20),
        opened_hive("attic", paths, settings or Settings()) as hive,
    ):
        model = await hive.models.pull(
            hive.models.reference(f"file:{write_model(folder / 'tiny')}")
        )
        yield House(hive, model)


class Served:
    """A hive, and the way to it."""

    def __init__(self, house: House, jobs: JobStub, hives: HiveStub) -> None:
        self.house = house
        self.model = house.model.reference
        self._jobs = jobs
        self._hives = hives

    async def run(self, operation: operation_pb2.Operation) -> operation_pb2.Result:
        call = self._jobs.RunJob(job_service_pb2.RunJobRequest(operation=operation))
        async with rpc_errors("hive"):
            return await relay(call, peer="hive")

    async def told(self, request: job_service_pb2.RunJobRequest) -> list[job_pb2.JobEvent]:
        """Run a job under these terms to its end, and return its story."""
        return [event async for answer in self._jobs.RunJob(request) for event in answer.events]

    async def jobs(self) -> list[job_pb2.Job]:
        return list((await self._jobs.ListJobs(job_service_pb2.ListJobsRequest())).jobs)

    async def refused(self, operation: operation_pb2.Operation) -> RbeeError:
        return await error_of(self.run(operation))

    async def spawn(self, **terms: Any) -> worker_pb2.Worker:
        asked = operation_pb2.WorkerSpawnOperation(model=self.model, **terms)
        return (await self.run(operation_pb2.Operation(worker_spawn=asked))).worker_spawn.worker

    async def workers(self) -> list[worker_pb2.Worker]:
        listed = await self.run(
            operation_pb2.Operation(worker_list=operation_pb2.WorkerListOperation())
        )
        return list(listed.worker_list.workers)

    async def watch(self) -> AsyncGenerator[hive_pb2.HiveSnapshot]:
        call = self._hives.WatchHive(hive_service_pb2.WatchHiveRequest())
        try:
            async for response in call:
                yield response.snapshot
        finally:
            call.cancel()


@asynccontextmanager
async def served(
    folder: Path, monkeypatch: pytest.MonkeyPatch, settings: Settings | None = None
) -> AsyncGenerator[Served]:
    """Serve a hive for the block."""
    async with (
        housed(folder, monkeypatch, settings) as house,
        running_jobs(partial(execute, house.hive), who="hive") as runner,
    ):

        def add_services(server: grpc.aio.Server) -> list[str]:
            job_service_pb2_grpc.add_JobServiceServicer_to_server(
                JobService(runner, lambda: 0.0), server
            )
            hive_service_pb2_grpc.add_HiveServiceServicer_to_server(HiveService(house.hive), server)
            return []

        async with (
            serving("127.0.0.1:0", add_services, find_story=runner.story_of, grace_s=0) as target,
            connected(target) as channel,
        ):
            jobs: JobStub = job_service_pb2_grpc.JobServiceStub(channel)
            hives: HiveStub = hive_service_pb2_grpc.HiveServiceStub(channel)
            yield Served(house, jobs, hives)


class Played(rpc.WorkerServiceServicer):
    """The services of a worker, in the test's own process: it says what they say, and when."""

    def __init__(self) -> None:
        self.asked: asyncio.Queue[str] = asyncio.Queue()
        self.says: asyncio.Queue[list[job_pb2.JobEvent] | None] = asyncio.Queue()
        self.left: asyncio.Queue[str] = asyncio.Queue()

    async def Generate(
        self, request: pb.GenerateRequest, context: Any
    ) -> AsyncGenerator[pb.GenerateResponse]:
        try:
            self.asked.put_nowait(request.prompt)
            while (events := await self.says.get()) is not None:
                yield pb.GenerateResponse(events=events)
            await context.abort(grpc.StatusCode.UNAVAILABLE, "broken")
        finally:
            self.left.put_nowait(request.prompt)

    async def Embed(
        self, request: pb.EmbedRequest, context: Any
    ) -> AsyncGenerator[pb.EmbedResponse]:
        raise AssertionError(request)
        yield

    async def WatchWorker(
        self, request: pb.WatchWorkerRequest, context: Any
    ) -> AsyncGenerator[pb.WatchWorkerResponse]:
        yield pb.WatchWorkerResponse()
        await asyncio.Event().wait()


@asynccontextmanager
async def played(folder: Path) -> AsyncGenerator[tuple[Played, str]]:
    """Serve a worker's services for the block; yield them and their address."""
    services = Played()

    def add_services(server: grpc.aio.Server) -> list[str]:
        rpc.add_WorkerServiceServicer_to_server(services, server)
        return []

    listen = f"unix:{folder}/played.sock"
    async with serving(listen, add_services, find_story=lambda _: None, grace_s=0) as address:
        yield services, address
