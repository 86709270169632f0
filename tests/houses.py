"""Hives with models and workers by name, and a queen over them."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager

from rbee.v1 import device_pb2, model_pb2, operation_pb2 as pb, worker_pb2
from rbee_queen.hive_link import HiveLink
from rbee_queen.queen import Queen
from rbee_queen.watch import watching
from rbee_shared.errors import ModelNotFoundError, WorkerNotFoundError
from tests.hives import ScriptedHive

TINY = "pypi:tiny==1"


class House:
    """A hive with some models and workers; it keeps what it was asked."""

    def __init__(
        self, name: str, *, models: Sequence[str] = (), workers: Sequence[str] = ()
    ) -> None:
        self.models, self.workers = models, workers
        self.asked: list[str] = []
        self.hive = ScriptedHive(name, self._execute)
        self.hive.say(
            devices=[device_pb2.Device(id="cpu:0")],
            models=[model_pb2.Model(reference=model) for model in models],
            workers=[self._worker(worker) for worker in workers],
        )

    async def _execute(self, operation: pb.Operation) -> pb.Result:
        self.asked.append(operation.WhichOneof("kind") or "")
        result = pb.Result()
        match self.asked[-1]:
            case "model_list":
                models = [model_pb2.Model(reference=each) for each in self.models]
                result.model_list.CopyFrom(pb.ModelListResult(models=models))
            case "model_get":
                if operation.model_get.model not in self.models:
                    raise ModelNotFoundError(operation.model_get.model)
                result.model_get.model.hive = self.hive.name
            case "worker_list":
                workers = map(self._worker, self.workers)
                result.worker_list.CopyFrom(pb.WorkerListResult(workers=workers))
            case "worker_get":
                if operation.worker_get.worker_id not in self.workers:
                    raise WorkerNotFoundError(operation.worker_get.worker_id)
                result.worker_get.worker.CopyFrom(self._worker(operation.worker_get.worker_id))
            case "self_check":
                result.self_check.checks.add(name=f"{self.hive.name} context", passed=True)
            case "infer":
                result.infer.hive = self.hive.name
            case _:
                pass
        return result

    def _worker(self, worker_id: str) -> worker_pb2.Worker:
        state = worker_pb2.WORKER_STATE_READY
        return worker_pb2.Worker(
            id=worker_id, hive=self.hive.name, model=TINY, device="cpu:0", state=state
        )


@asynccontextmanager
async def reigning(*houses: House, more: Sequence[HiveLink] = ()) -> AsyncGenerator[Queen]:
    """A queen of these hives, once all of them are heard or lost."""
    links = [*(house.hive.local() for house in houses), *more]
    async with watching(links) as watch:
        await watch.settled()
        yield Queen({link.name: link for link in links}, watch)
