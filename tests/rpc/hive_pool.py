"""A supervisor of stand-ins, and what tests ask of it."""

import asyncio
import json
import os
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeVar

import pytest

from rbee_hive.devices import Device
from rbee_hive.workers import supervisor as supervisor_module, worker as worker_module
from rbee_hive.workers.admission import GIB, Demand
from rbee_hive.workers.states import WorkerState
from rbee_hive.workers.supervisor import Supervisor, Wanted, supervising
from rbee_hive.workers.worker import Worker
from rbee_shared.errors import RbeeError
from rbee_shared.narration.context import JOB, JobContext
from rbee_shared.narration.event import Narration
from tests.rpc.standin_worker import Behaviour

T = TypeVar("T")

FOLDER = Path(__file__).parent
CORES = 4
DEVICES = (
    Device("cpu:0", "cpu", "a processor", 16 * GIB, 8 * GIB, CORES),
    Device("cuda:0", "cuda", "a card", 16 * GIB, 8 * GIB),
)


class Told(list[Narration]):
    """What one job was told."""

    def narrate(self, narration: Narration) -> None:
        self.append(narration)

    def complete(self, completion: Any) -> None:
        self.append(Narration("", "completion", completion.text, 0))

    def of(self, action: str) -> list[str]:
        return [each.human for each in self if each.action == action]


def in_job(work: Coroutine[Any, Any, T], told: Told) -> asyncio.Task[T]:
    """Run as a job that is told to `told`."""

    async def job() -> T:
        JOB.set(JobContext("j-1", story=told))
        return await work

    return asyncio.create_task(job())


async def error_of(work: Coroutine[Any, Any, Any]) -> RbeeError:
    with pytest.raises(RbeeError) as caught:
        await work
    return caught.value


def fifo(folder: Path, name: str) -> str:
    """Make a FIFO at which somebody waits for `open_fifo`."""
    path = folder / name
    os.mkfifo(path)
    return str(path)


async def open_fifo(path: str) -> None:
    """Meet whoever waits there, or is yet to come."""
    await asyncio.to_thread(lambda: Path(path).open("w").close())


async def until(holds: Callable[[], bool]) -> None:
    """Wait for a state; not all that is waited for rings a bell."""
    while True:
        if holds():
            return
        await asyncio.sleep(0)


class Pool:
    """A supervisor, and the folder of its sockets and models."""

    def __init__(self, supervisor: Supervisor, folder: Path) -> None:
        self.supervisor = supervisor
        self.folder = folder

    def wanted(
        self,
        model: str = "a",
        *,
        device: str = "",
        cores: int = 1,
        keep_alive_s: float = -1.0,
        **behaviour: str,
    ) -> Wanted:
        folder = self.folder / model
        folder.mkdir(exist_ok=True)
        (folder / "standin.json").write_text(json.dumps(asdict(Behaviour(**behaviour))))
        demand = Demand(1_000, 10, 100, cores)
        return Wanted(f"file:/{model}", model, folder, demand, device, keep_alive_s)

    async def only(self) -> Worker:
        """Wait until there is a worker, whose process has begun."""
        await until(lambda: any(each.pid for each in self.supervisor.all()))
        [worker] = self.supervisor.all()
        return worker

    def states(self) -> list[WorkerState]:
        return [worker.state for worker in self.supervisor.all()]

    def sockets(self) -> list[str]:
        return [path.name for path in self.folder.glob("*.sock")]


@asynccontextmanager
async def pooled(folder: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncGenerator[Pool]:
    """Supervise stand-ins on a machine of known size for the block."""
    use_standins(monkeypatch)
    async with (
        asyncio.timeout(20),
        supervising(hive="attic", run=folder, cores_max=0, changed=lambda: None) as supervisor,
    ):
        yield Pool(supervisor, folder)


def use_standins(monkeypatch: pytest.MonkeyPatch) -> None:
    """Start stand-ins for workers, on a machine of known size."""
    monkeypatch.setattr(worker_module, "WORKER_MODULE", "standin_worker")
    monkeypatch.setattr(supervisor_module, "detect", _detect)
    monkeypatch.setenv("PYTHONPATH", str(FOLDER), prepend=os.pathsep)


def _detect(_: int) -> tuple[Device, ...]:
    return DEVICES
