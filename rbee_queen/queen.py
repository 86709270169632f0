"""The queen: the fleet and the links to hives, wired together. It knows no server."""

import asyncio
import logging
import os
import time
from collections.abc import AsyncGenerator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from importlib.metadata import version

from rbee.v1 import operation_pb2
from rbee_queen.hive_link import HiveLink
from rbee_queen.local_hive import embedded_hive
from rbee_queen.remote_hive import dialled_hive
from rbee_queen.watch import Watch, watching
from rbee_shared.contracts import wire
from rbee_shared.errors import RbeeError
from rbee_shared.ids import LOCALHOST
from rbee_shared.jobs.registry import JobRegistry
from rbee_shared.lifecycle import launch, lock
from rbee_shared.limits import JOURNAL_KEPT_S
from rbee_shared.narration.event import Level
from rbee_shared.narration.narrate import narrate
from rbee_shared.paths import Paths
from rbee_shared.references.reference import NO_ALIASES
from rbee_shared.settings import Settings

RESTART_S, RESTART_S_MAX = 1.0, 60.0  # between two looks at a hive that died


class Queen:
    """The control plane of one user. Made by `opened_queen`."""

    def __init__(
        self,
        links: Mapping[str, HiveLink],
        watch: Watch,
        *,
        kept_s: float = JOURNAL_KEPT_S,
        aliases: Mapping[str, str] = NO_ALIASES,
    ) -> None:
        self._links = links
        self.aliases = aliases
        self._start_time_s = time.time()
        self.watch = watch
        self.addresses: list[str] = []
        self.jobs = JobRegistry(kept_s=kept_s)

    def link(self, hive: str) -> HiveLink:
        """Return the way to a hive that the fleet knows."""
        return self._links[hive]

    def status(self) -> operation_pb2.StatusResult:
        """Return how the queen and its fleet are."""
        return operation_pb2.StatusResult(
            version=version("rbee"),
            pid=os.getpid(),
            start_time=wire.timestamp(self._start_time_s),
            running_job_count=len(self.jobs.running()),
            hives=self.watch.hives(),
            addresses=self.addresses,
        )


@asynccontextmanager
async def opened_queen(
    paths: Paths, settings: Settings, *, separate_hive: bool
) -> AsyncGenerator[Queen]:
    """Open this machine's hive, inside this process or apart, and watch it.

    A hive with a process of its own that an earlier queen left behind is used, not doubled.
    """
    async with AsyncExitStack() as stack:
        link: HiveLink
        if separate_hive or lock.is_held(paths.lock("hive")):
            target = await stack.enter_async_context(hive_process(paths))
            link = await stack.enter_async_context(dialled_hive(LOCALHOST, target))
        else:
            link = await stack.enter_async_context(embedded_hive(paths, settings))
        watch = await stack.enter_async_context(watching([link]))
        yield Queen(
            {link.name: link},
            watch,
            kept_s=settings.queen_jobs_kept_s,
            aliases=settings.aliases,
        )


@asynccontextmanager
async def hive_process(paths: Paths) -> AsyncGenerator[str]:
    """Have this machine's hive run as a daemon for the block; yield its target.

    One that runs already, after a queen that was killed, is taken over. One that dies is started
    again.
    """
    lock_file = paths.lock("hive")
    holder = lock.holder_of(lock_file)
    if holder is None:
        holder = await _launched(paths)
    else:
        narrate(
            "hive_adopt",
            "taking over the hive that runs already",
            target=LOCALHOST,
            cute="the queen moves into the hive that hums already",
            story='"You kept it warm for me", says the queen to the hive',
        )
    async with asyncio.TaskGroup() as tasks:
        keeping = tasks.create_task(_keep_up(paths), name="keep the hive up")
        try:
            yield holder.address
        finally:
            keeping.cancel()
            await asyncio.wait([keeping])
            if (holder := lock.holder_of(lock_file)) is not None:
                await launch.stop(holder)


async def _keep_up(paths: Paths) -> None:
    pause_s = RESTART_S
    while True:
        await asyncio.sleep(pause_s)
        if lock.is_held(paths.lock("hive")):
            pause_s = RESTART_S
            continue
        narrate(
            "hive_restart",
            "the hive has died; starting it again",
            target=LOCALHOST,
            level=Level.WARN,
            cute="the hive has died; a new one is on its way",
            story='"The hive has died", says the queen. "Build it again"',
        )
        try:
            await _launched(paths)
        except RbeeError as error:
            pause_s = min(RESTART_S_MAX, 2 * pause_s)
            logging.warning("the hive does not start again: %s", error)


async def _launched(paths: Paths) -> lock.Holder:
    await launch.launch("rbee_hive", [], name="hive", log_file=paths.log_file("hive"))
    holder = lock.holder_of(paths.lock("hive"))
    if holder is None:
        raise launch.StartFailedError("the hive ended right after it was ready")
    return holder
