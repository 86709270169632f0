"""The workers of one hive: spawned when admitted, shared by all who want them, ended with it."""

import asyncio
import contextvars
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from rbee_hive.devices import Device, detect, device_named
from rbee_hive.workers.admission import Demand, admit
from rbee_hive.workers.states import COMING, LIVING, SERVING
from rbee_hive.workers.worker import Spec, Worker
from rbee_shared.errors import FailedPreconditionError, WorkerNotFoundError
from rbee_shared.ids import new_worker_id
from rbee_shared.narration.narrate import narrate

ENDED_KEPT_MAX = 20


@dataclass(frozen=True, slots=True)
class Wanted:
    """The worker that somebody asks for: a model in a folder, and terms."""

    model: str
    alias: str
    folder: Path
    demand: Demand
    device: str
    keep_alive_s: float


class Supervisor:
    """Spawns, shares and stops workers. Made by `supervising`."""

    def __init__(
        self,
        tasks: asyncio.TaskGroup,
        *,
        hive: str,
        run: Path,
        cores_max: int,
        changed: Callable[[], None],
    ) -> None:
        self._tasks = tasks
        self._hive = hive
        self._run = run
        self._cores_max = cores_max
        self._changed = changed
        self._admitting = asyncio.Lock()
        self._workers: dict[str, Worker] = {}

    async def devices(self) -> tuple[Device, ...]:
        """Return what this machine has now."""
        return await asyncio.to_thread(detect, self._cores_max)

    def all(self) -> list[Worker]:
        """Return all workers, the oldest first; failed ones until their place is taken."""
        return list(self._workers.values())

    def get(self, worker_id: str) -> Worker:
        """Return the worker of that id.

        Raises:
            WorkerNotFoundError: no such worker.
        """
        worker = self._workers.get(worker_id)
        if worker is None:
            raise WorkerNotFoundError(worker_id)
        return worker

    def users_of(self, model: str) -> list[Worker]:
        """Return the living workers that use a model."""
        return [w for w in self._workers.values() if w.spec.model == model and w.state in LIVING]

    async def serving(self, wanted: Wanted) -> Worker:
        """Return a worker for the model: one that serves, one that comes, else a new one.

        Raises:
            RbeeError: why none can be had.
        """
        async with self._admitting:
            device = device_named(await self.devices(), wanted.device, self._hive)
            found = self._find(wanted.model, device.id if wanted.device else "")
            if found is None:
                found = await self._start(wanted, device)
        await self._until_ready(found)
        return found

    async def spawn(self, wanted: Wanted) -> Worker:
        """Start one more worker and wait until it takes requests.

        Raises:
            RbeeError: why it cannot, its own words included.
        """
        async with self._admitting:
            device = device_named(await self.devices(), wanted.device, self._hive)
            worker = await self._start(wanted, device)
        await self._until_ready(worker)
        return worker

    async def delete(self, worker_id: str, *, force: bool) -> Worker:
        """Stop a worker and forget it. A stopped or failed one is only forgotten.

        Raises:
            WorkerNotFoundError: no such worker.
        """
        worker = self.get(worker_id)
        if worker.state in LIVING:
            narrate(
                "worker_stop",
                "stopping {worker}",
                target=worker_id,
                worker=worker_id,
                cute="{worker} flies home",
                story='"You may go home, {worker}", says the hive',
            )
            await worker.stop(force=force)
        self._workers.pop(worker_id, None)
        self._changed()
        return worker

    def _find(self, model: str, device: str) -> Worker | None:
        able = [
            worker
            for worker in self.users_of(model)
            if worker.state in SERVING | COMING and device in ("", worker.spec.grant.device)
        ]
        return min(
            able, key=lambda worker: (worker.request_count, worker.create_time_s), default=None
        )

    async def _start(self, wanted: Wanted, device: Device) -> Worker:
        living = [worker for worker in self._workers.values() if worker.state in LIVING]
        decision = admit(wanted.demand, device, [worker.tenant() for worker in living])
        for worker_id in decision.evicted:
            narrate(
                "worker_evict",
                "stopping idle {worker} to make room",
                target=worker_id,
                worker=worker_id,
                cute="idle {worker} makes room in the comb",
                story='"Make room, idle {worker}", says the hive',
            )
            await self.delete(worker_id, force=False)
        self._forget(wanted.model)
        worker_id = new_worker_id()
        spec = Spec(
            id=worker_id,
            model=wanted.model,
            alias=wanted.alias,
            folder=wanted.folder,
            socket=self._run / f"worker-{worker_id}.sock",
            grant=decision.grant,
            context_length=wanted.demand.context_length,
            keep_alive_s=wanted.keep_alive_s,
        )
        narrate(
            "worker_spawn",
            "starting {worker} for {model} on {device}",
            target=worker_id,
            worker=worker_id,
            model=wanted.alias or wanted.model,
            device=device.id,
            cores=decision.grant.cores,
            cute="{worker} hatches on {device} to carry {model}",
            story='"Take {model} to {device}, {worker}", says the hive',
        )
        worker = Worker(spec, self._changed)
        self._workers[worker_id] = worker
        # a worker outlives the job that spawned it, so it lives outside of that job's context
        self._tasks.create_task(worker.live(), name=worker_id, context=contextvars.Context())
        self._changed()
        return worker

    async def _until_ready(self, worker: Worker) -> None:
        begin_s = time.monotonic()
        if worker.state in SERVING:
            return
        worker.waiter_count += 1
        try:
            await worker.ready()
        finally:
            worker.waiter_count -= 1
            if worker.waiter_count == 0 and worker.state in COMING:  # nobody wants it any more
                self._tasks.create_task(worker.stop(force=True), context=contextvars.Context())
        if worker.state not in SERVING:
            raise FailedPreconditionError(f"worker `{worker.spec.id}` is being stopped")
        narrate(
            "worker_ready",
            "{worker} is ready after {seconds:.1f} s",
            target=worker.spec.id,
            worker=worker.spec.id,
            seconds=time.monotonic() - begin_s,
            cute="{worker} is ready to fly after {seconds:.1f} s",
            story='"Ready", says {worker} after {seconds:.1f} s',
        )

    def _forget(self, model: str) -> None:
        ended = [w for w in self._workers.values() if w.state not in LIVING]
        for index, worker in enumerate(reversed(ended)):
            if worker.spec.model == model or index >= ENDED_KEPT_MAX:
                del self._workers[worker.spec.id]


@asynccontextmanager
async def supervising(
    *, hive: str, run: Path, cores_max: int, changed: Callable[[], None]
) -> AsyncGenerator[Supervisor]:
    """Supervise workers inside the block; on exit all are stopped, side by side."""
    async with asyncio.TaskGroup() as tasks:
        supervisor = Supervisor(tasks, hive=hive, run=run, cores_max=cores_max, changed=changed)
        try:
            yield supervisor
        finally:
            async with asyncio.TaskGroup() as stopping:
                for worker in supervisor.all():
                    stopping.create_task(worker.stop(force=True))
