"""The hive: one machine's models, workers and devices, wired together. It knows no server.

The queen embeds it for its own machine, or talks to one that `__main__` serves: both use
`operations.execute` and `snapshots`.
"""

import asyncio
import platform
import secrets
import shutil
import time
from collections.abc import AsyncGenerator, Generator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from importlib.metadata import version

from rbee.v1 import hive_pb2
from rbee_hive.changes import Changes
from rbee_hive.devices import Device
from rbee_hive.models import wire as model_wire
from rbee_hive.models.store import ModelStore, opened_store
from rbee_hive.transfer.policy import Policy
from rbee_hive.wire import device_to_proto, worker_to_proto
from rbee_hive.workers.supervisor import Supervisor, supervising
from rbee_shared.contracts import wire
from rbee_shared.limits import SNAPSHOT_INTERVAL_S
from rbee_shared.paths import Paths
from rbee_shared.settings import Settings

SNAPSHOT_SPACING_S = 0.05  # between two snapshots of one watcher, however much changes
DEVICES_KEPT_S = 1.0


class Hive:
    """One hive. Made by `opened_hive`."""

    def __init__(
        self,
        name: str,
        *,
        paths: Paths,
        settings: Settings,
        models: ModelStore,
        workers: Supervisor,
        changes: Changes,
    ) -> None:
        self.name = name
        self.settings = settings
        self.models = models
        self.workers = workers
        self._paths = paths
        self._changes = changes
        self._instance_id = secrets.token_hex(8)
        self._sequence = 0
        self._devices: tuple[Device, ...] = ()
        self._devices_time_s = 0.0
        self._running_job_count = 0

    @contextmanager
    def doing(self) -> Generator[None]:
        """Count the block as a job that is being done."""
        self._running_job_count += 1
        self._changes.ring()
        try:
            yield
        finally:
            self._running_job_count -= 1
            self._changes.ring()

    async def snapshots(self) -> AsyncGenerator[hive_pb2.HiveSnapshot]:
        """Yield how the hive is: at once, then on every change, and at least each second."""
        while True:
            seen = self._changes.count
            yield await self.snapshot()
            await asyncio.sleep(SNAPSHOT_SPACING_S)
            await self._changes.wait(seen, SNAPSHOT_INTERVAL_S)

    async def snapshot(self) -> hive_pb2.HiveSnapshot:
        """Return how the hive is now."""
        models, _ = await self.models.list()
        disk = await asyncio.to_thread(shutil.disk_usage, self._paths.models)
        devices = await self._devices_of_late()
        here = {model.reference for model in models}
        pulling = [each for each in self.models.pulling() if each.text not in here]
        self._sequence += 1  # nothing is waited for from here on: a later one is no older
        return hive_pb2.HiveSnapshot(
            sequence=self._sequence,
            name=self.name,
            version=version("rbee"),
            platform=f"{platform.system().lower()}/{platform.machine()}",
            devices=[device_to_proto(each) for each in devices],
            models=[
                *model_wire.models_to_proto(models, hive=self.name),
                *(model_wire.pulling_to_proto(each, hive=self.name) for each in pulling),
            ],
            workers=[worker_to_proto(each, self.name) for each in self.workers.all()],
            running_job_count=self._running_job_count,
            free_disk_bytes=disk.free,
            create_time=wire.timestamp(time.time()),
            instance_id=self._instance_id,
        )

    async def _devices_of_late(self) -> tuple[Device, ...]:
        if time.monotonic() - self._devices_time_s > DEVICES_KEPT_S:
            self._devices = await self.workers.devices()
            self._devices_time_s = time.monotonic()
        return self._devices


@asynccontextmanager
async def opened_hive(
    name: str, paths: Paths, settings: Settings, *, policy: Policy | None = None
) -> AsyncGenerator[Hive]:
    """Open the model store and supervise workers for the block."""
    changes = Changes()
    async with AsyncExitStack() as stack:
        models = await stack.enter_async_context(
            opened_store(paths.models, aliases=settings.aliases, policy=policy)
        )
        workers = await stack.enter_async_context(
            supervising(
                hive=name, run=paths.run, cores_max=settings.hive_cores, changed=changes.ring
            )
        )
        yield Hive(
            name, paths=paths, settings=settings, models=models, workers=workers, changes=changes
        )
