"""The workers of one hive: spawned when admitted, shared by all who want them, ended with it."""

import asyncio
import contextvars
import time
from collections.abc import AsyncGenerator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from rbee_hive.devices import Device, detect, device_id, device_named
from rbee_hive.workers.admission import Decision, Demand, admit
from rbee_hive.workers.spec import Spec
from rbee_hive.workers.states import COMING, LIVING, SERVING, WorkerState
from rbee_hive.workers.telling import tell_evict, tell_ready, tell_spawn, tell_stop
from rbee_hive.workers.worker import Worker
from rbee_shared.errors import ResourceExhaustedError, UnavailableError, WorkerNotFoundError
from rbee_shared.ids import new_worker_id

FAILED_KEPT_MAX = 20


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
        self._closed = False

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

        It takes requests for as long as the caller does not wait for anything else.

        Raises:
            WorkerStoppedError: somebody stopped it while it came.
            RbeeError: why none can be had.
        """
        found = self._find(wanted)  # no request waits for another model's admission
        if found is None:
            async with self._admitting:
                found = self._find(wanted) or await self._start(wanted)
        await self._until_ready(found)
        return found

    async def spawn(self, wanted: Wanted) -> Worker:
        """Start one more worker and wait until it takes requests.

        Raises:
            RbeeError: why it cannot, its own words included.
        """
        async with self._admitting:
            worker = await self._start(wanted)
        await self._until_ready(worker)
        return worker

    async def delete(self, worker_id: str, *, force: bool) -> Worker:
        """Stop a worker and forget it; a failed one is only forgotten.

        A caller that leaves does not keep it alive.

        Raises:
            WorkerNotFoundError: no such worker.
        """
        worker = self.get(worker_id)
        if worker.state in LIVING:
            tell_stop(worker.spec.id)
            await self._stop([worker], force=force)
        self._forget(worker)
        return worker

    async def release(self, model: str) -> None:
        """Stop all workers that use a model, side by side, each after what it is doing."""
        users = self.users_of(model)
        for worker in users:
            tell_stop(worker.spec.id)
        await self._stop(users, force=False)

    def close(self) -> None:
        """Start no more workers."""
        self._closed = True

    def _find(self, wanted: Wanted) -> Worker | None:
        device = device_id(wanted.device) if wanted.device else ""
        able = [
            worker
            for worker in self.users_of(wanted.model)
            if worker.spec.folder == wanted.folder  # else it is of another revision
            and worker.state in SERVING | COMING
            and device in ("", worker.spec.grant.device)
        ]
        return min(
            able,
            key=lambda worker: (worker.is_full, worker.request_count, worker.create_time_s),
            default=None,
        )

    async def _start(self, wanted: Wanted) -> Worker:
        device = device_named(await self.devices(), wanted.device, self._hive)
        demand = wanted.demand.on(device)
        decision = await self._admit(demand, device)
        if self._closed:
            raise UnavailableError("the hive stops", reason="HIVE_STOPPING")
        self._make_place(wanted.model)
        worker_id = new_worker_id()
        spec = Spec(
            id=worker_id,
            model=wanted.model,
            alias=wanted.alias,
            folder=wanted.folder,
            socket=self._run / f"worker-{worker_id}.sock",
            grant=decision.grant,
            context_length=demand.context_length,
            keep_alive_s=wanted.keep_alive_s,
        )
        tell_spawn(spec, demand, decision.cache_room_bytes)
        worker = Worker(spec, self._changed)
        self._workers[worker_id] = worker
        # a worker outlives the job that spawned it, so it lives outside of that job's context
        life = self._tasks.create_task(worker.live(), name=worker_id, context=contextvars.Context())
        life.add_done_callback(lambda _: self._bury(worker))
        self._changed()
        return worker

    async def _admit(self, demand: Demand, device: Device) -> Decision:
        decision = await self._decided(demand, device)
        for worker_id in decision.evicted:
            tell_evict(worker_id)
        await self._stop([self._workers[each] for each in decision.evicted], force=False)
        return decision

    async def _decided(self, demand: Demand, device: Device) -> Decision:
        while True:
            living = [worker for worker in self._workers.values() if worker.state in LIVING]
            try:
                return admit(demand, device, [worker.tenant() for worker in living])
            except ResourceExhaustedError:
                going = [
                    w for w in living if w.state == WorkerState.DRAINING and not w.request_count
                ]
                if not going:
                    raise
                await going[0].ended()  # it has nothing to end, and its place is as good as free

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
                self._begin_stop(worker, force=True)
        tell_ready(worker.spec.id, time.monotonic() - begin_s)

    async def _stop(self, workers: Iterable[Worker], *, force: bool) -> None:
        leaving = list(workers)
        for worker in leaving:
            self._begin_stop(worker, force=force)
        for worker in leaving:
            await worker.ended()

    def _begin_stop(self, worker: Worker, *, force: bool) -> None:
        worker.retire()  # at once: nobody may choose it before the task runs
        self._tasks.create_task(worker.stop(force=force), context=contextvars.Context())

    def _bury(self, worker: Worker) -> None:
        worker.close()
        if worker.state == WorkerState.STOPPED:
            self._forget(worker)

    def _make_place(self, model: str) -> None:
        failed = [w for w in self._workers.values() if w.state == WorkerState.FAILED]
        others = [worker for worker in failed if worker.spec.model != model]
        kept = others[-FAILED_KEPT_MAX:]
        for worker in failed:
            if worker not in kept:
                self._forget(worker)

    def _forget(self, worker: Worker) -> None:
        if self._workers.pop(worker.spec.id, None) is not None:
            self._changed()


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
            supervisor.close()
            async with asyncio.TaskGroup() as stopping:
                for worker in supervisor.all():
                    stopping.create_task(worker.stop(force=True))
