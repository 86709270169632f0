"""One worker process, from its start to its end: called over its socket, watched for its load."""

import asyncio
import logging
import time
from collections.abc import Callable, Generator
from contextlib import AsyncExitStack, contextmanager, suppress

import grpc

from rbee.v1 import worker_pb2, worker_service_pb2 as pb, worker_service_pb2_grpc as rpc
from rbee_hive.workers.admission import Tenant
from rbee_hive.workers.spec import ENVIRONMENT, Spec
from rbee_hive.workers.states import SERVING, WorkerEvent, WorkerState, after
from rbee_shared.errors import RbeeError, UnavailableError, known
from rbee_shared.lifecycle.child import Child, running_child
from rbee_shared.narration.event import Level
from rbee_shared.narration.narrate import narrate
from rbee_shared.rpc.channel import connected

WORKER_MODULE = "rbee_worker"
DRAIN_S_MAX = 30.0
UNREACHABLE_S = 5.0  # a process that serves no more and does not end is made to after so long


class WorkerDiedError(UnavailableError):
    """A worker's process ended while it was needed."""

    reason = "WORKER_DIED"
    hint = "run it again: a new worker is spawned; `rbee worker logs` has its last words"

    def __init__(self, worker_id: str, why: RbeeError) -> None:
        super().__init__(f"worker `{worker_id}` died: {why}")


class WorkerStoppedError(UnavailableError):
    """A worker was stopped while it was needed."""

    reason = "WORKER_STOPPED"
    hint = "run it again: another worker takes it, or a new one is spawned"

    def __init__(self, worker_id: str) -> None:
        super().__init__(f"worker `{worker_id}` was stopped")


class Worker:
    """One worker. `live` is its whole life, run in a task of its supervisor."""

    def __init__(self, spec: Spec, changed: Callable[[], None]) -> None:
        self.spec = spec
        self.state = WorkerState.STARTING
        self.create_time_s = time.time()
        self.last_used_s = 0.0
        self.load = worker_pb2.WorkerLoad(slots=spec.grant.slots)
        self.resident_bytes = 0
        self.error: RbeeError | None = None
        self.request_count = 0
        self.waiter_count = 0
        self._changed = changed
        self._child: Child | None = None
        self._channel: grpc.aio.Channel | None = None
        self._started = asyncio.Event()
        self._served = asyncio.Event()
        self._over = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._idle_since_s: float | None = None

    @property
    def pid(self) -> int:
        """The process id; 0 when there is no process."""
        running = self._child is not None and self._child.exit_code is None
        return self._child.pid if self._child is not None and running else 0

    def lines(self) -> list[str]:
        """Return what the process wrote, so far as it is kept."""
        return self._child.lines() if self._child is not None else []

    @property
    def is_full(self) -> bool:
        """Whether a request more would wait."""
        return self.request_count >= self.spec.grant.slots

    @property
    def is_idle(self) -> bool:
        """Whether it could take a request and nobody has one for it."""
        return self.state == WorkerState.READY and self.waiter_count == 0

    def tenant(self) -> Tenant:
        """Return the worker as admission sees it."""
        idle = self._idle_since_s if self.is_idle else None
        return Tenant(self.spec.id, self.spec.grant, self.resident_bytes, idle)

    async def ready(self) -> None:
        """Wait until it takes requests, telling its start-up in the caller's context.

        Raises:
            RbeeError: why it could not start.
        """
        await self._started.wait()
        if self._child is not None:
            try:
                await self._child.ready()
            except RbeeError:
                await self._over.wait()  # its words are in `error`, if nobody asked for its end
            await self._served.wait()
        if self.state not in SERVING:
            raise self._gone()

    async def ended(self) -> None:
        """Wait until its life is over: no process, no socket."""
        await self._over.wait()

    async def death(self, within_s: float) -> RbeeError | None:
        """Return why it takes no calls any more, if that is so within that time."""
        if self.state in SERVING:
            try:
                async with asyncio.timeout(within_s):
                    await self._over.wait()
            except TimeoutError:
                pass
        return None if self.state in SERVING else self._gone()

    async def live(self) -> None:
        """Start the process, watch it, and note how it ends. Never fails for the worker's sake."""
        error: RbeeError | None = None
        try:
            await self._run()
        except OSError as failed:
            error = UnavailableError(f"cannot start a process: {failed.strerror}")
        except (RbeeError, ExceptionGroup) as failed:
            error = known(failed)
            if error is None:
                raise
        self._end(error)

    def close(self) -> None:
        """Let go all who wait for it. For whoever ran `live`, which may not even have begun."""
        for event in (self._started, self._served, self._over):
            event.set()

    @contextmanager
    def answering(self) -> Generator["rpc.WorkerServiceAsyncStub"]:
        """Count the block as a request, and yield the way to call.

        Raises:
            WorkerDiedError: it takes no calls, because its process ended.
            WorkerStoppedError: it takes no calls, because somebody asked for its end.
        """
        if self._channel is None or self.state not in SERVING:
            raise self._gone()
        self.request_count += 1
        self._idle.clear()
        self._on(WorkerEvent.TOOK_WORK)
        try:
            yield rpc.WorkerServiceStub(self._channel)
        finally:
            self.request_count -= 1
            self.last_used_s = time.time()
            if self.request_count == 0:
                self._idle_since_s = time.monotonic()
                self._idle.set()
                self._on(WorkerEvent.RAN_DRY)

    def retire(self) -> None:
        """Give it nothing new from now on. Idempotent."""
        self._on(WorkerEvent.WAS_ASKED_TO_STOP)

    async def stop(self, *, force: bool) -> None:
        """Retire it, let it end what it has, then end its process. Idempotent."""
        self.retire()
        await self._started.wait()
        if self._child is not None:
            if not force:
                await self._drained()
            await self._child.stop()
        await self._over.wait()

    async def _drained(self) -> None:
        try:
            async with asyncio.timeout(DRAIN_S_MAX):
                await self._idle.wait()
        except TimeoutError:
            return  # it had its time

    async def _run(self) -> None:
        spec = self.spec
        spec.socket.unlink(missing_ok=True)
        async with AsyncExitStack() as stack:
            self._child = await stack.enter_async_context(
                running_child(
                    WORKER_MODULE, spec.arguments(), name=spec.id, environment=ENVIRONMENT
                )
            )
            self._started.set()
            self._on(WorkerEvent.SPOKE)
            ready = await self._child.ready()
            self._channel = await stack.enter_async_context(connected(ready.address))
            self._idle_since_s = time.monotonic()
            self._on(WorkerEvent.BECAME_READY)
            self._served.set()
            async with asyncio.TaskGroup() as tasks:
                watching = tasks.create_task(
                    self._watch(self._child, self._channel), name=f"{spec.id} load"
                )
                expiring = tasks.create_task(
                    self._expire(self._child), name=f"{spec.id} keep-alive"
                )
                await self._child.ended()
                watching.cancel()
                expiring.cancel()
            if self.state != WorkerState.DRAINING:
                await self._child.capture.drained.wait()  # its last words say why
                raise WorkerDiedError(spec.id, self._child.error())

    async def _watch(self, child: Child, channel: grpc.aio.Channel) -> None:
        stub: rpc.WorkerServiceAsyncStub = rpc.WorkerServiceStub(channel)
        try:
            async for response in stub.WatchWorker(pb.WatchWorkerRequest()):
                self.load.CopyFrom(response.load)
                self.spec = self.spec.narrowed(response.load.slots)
                self.resident_bytes = response.resident_memory_bytes
                self._changed()
        except grpc.aio.AioRpcError as error:
            logging.debug("the load of %s is not told any more: %s", self.spec.id, error.code())
        # its process is ending, which `_run` sees, or is stuck: then it would fail every request
        try:
            async with asyncio.timeout(UNREACHABLE_S):
                await child.ended()
        except TimeoutError:
            if self.state not in SERVING:
                return  # whoever asked for its end sees to it
            narrate(
                "worker_kill",
                "killing {worker}: its process serves no more and does not end",
                target=self.spec.id,
                level=Level.WARN,
                worker=self.spec.id,
            )
            child.kill()

    async def _expire(self, child: Child) -> None:
        while self.spec.keep_alive_s >= 0:
            idle_s = time.monotonic() - (self._idle_since_s or 0.0)
            if self.is_idle and idle_s >= self.spec.keep_alive_s:
                narrate(
                    "worker_expire",
                    "stopping {worker}: idle for {idle_s:.0f} s",
                    target=self.spec.id,
                    worker=self.spec.id,
                    idle_s=idle_s,
                    cute="{worker} flies home after {idle_s:.0f} s without work",
                    story='"Nobody asked me for {idle_s:.0f} s", says {worker} and goes',
                )
                self.retire()
                await child.stop()
                return
            await asyncio.sleep(min(1.0, max(0.05, self.spec.keep_alive_s - idle_s)))

    def _on(self, event: WorkerEvent) -> None:
        state = after(self.state, event)
        if state != self.state:
            self.state = state
            self._changed()

    def _gone(self) -> RbeeError:
        return self.error or WorkerStoppedError(self.spec.id)

    def _end(self, error: RbeeError | None) -> None:
        self._channel = None
        self.load.Clear()
        self.resident_bytes = 0
        with suppress(OSError):  # no other worker will have this id, so it is in nobody's way
            self.spec.socket.unlink(missing_ok=True)
        if self.state != WorkerState.DRAINING:  # else its end is what was asked for
            self.error = error
        self._on(WorkerEvent.ENDED)
        self.close()
