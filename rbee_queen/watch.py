"""Keeping the fleet true: one stream of snapshots a hive; the open stream is the heartbeat."""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing, asynccontextmanager

from rbee.v1 import hive_pb2
from rbee_queen import wire
from rbee_queen.fleet import Fleet, HiveState
from rbee_queen.hive_link import HiveLink
from rbee_shared.errors import RbeeError, UnavailableError
from rbee_shared.limits import CONNECT_TIMEOUT_S, RECONNECT_S, RECONNECT_S_MAX
from rbee_shared.narration.event import Level
from rbee_shared.narration.narrate import narrate


class Watch:
    """The fleet, kept true by the hives' own word. Made by `watching`.

    `change_count` grows with everything that is heard, and with every hive that falls silent.
    """

    def __init__(self, links: Sequence[HiveLink]) -> None:
        self.fleet = Fleet()
        self.change_count = 0
        self._snapshots: dict[str, hive_pb2.HiveSnapshot] = {}
        self._changed = asyncio.Event()
        for link in links:
            self.fleet.add(link.name, link.address, time.time())

    def hive(self, name: str) -> hive_pb2.Hive:
        """Return one hive for the wire.

        Raises:
            HiveNotFoundError: no such hive.
        """
        return wire.hive_to_proto(self.fleet.get(name), self._snapshots.get(name))

    def hives(self) -> list[hive_pb2.Hive]:
        """Return every hive for the wire, in name order."""
        return [self.hive(view.name) for view in self.fleet.all()]

    async def change(self, seen: int, timeout_s: float) -> None:
        """Return once `change_count` is no longer `seen`, or after `timeout_s`."""
        await self._until(lambda: self.change_count != seen, timeout_s)

    async def settled(self) -> None:
        """Wait until no hive is CONNECTING any more, but not for long."""
        await self._until(
            lambda: all(hive.state != HiveState.CONNECTING for hive in self.fleet.all()),
            CONNECT_TIMEOUT_S,
        )

    async def follow(self, link: HiveLink) -> None:
        """Follow one hive for ever, again and again."""
        pause_s = RECONNECT_S
        while True:
            try:
                async with aclosing(link.watch()) as snapshots:
                    async for snapshot in snapshots:
                        pause_s = RECONNECT_S
                        self._hear(link.name, snapshot)
                raise UnavailableError("it ended the stream")
            except RbeeError as error:
                self._lose(link.name, error)
            await asyncio.sleep(pause_s)
            pause_s = min(RECONNECT_S_MAX, pause_s * 2)

    def _hear(self, name: str, snapshot: hive_pb2.HiveSnapshot) -> None:
        if self.fleet.get(name).state != HiveState.ACTIVE and not snapshot.draining:
            narrate(
                "hive_active",
                "hive {hive} takes work",
                target=name,
                hive=name,
                cute="hive {hive} hums and has room",
                story='"Give me work", says hive {hive}',
            )
        self._snapshots[name] = snapshot
        self.fleet.hear(
            name,
            time.time(),
            devices=frozenset(device.id for device in snapshot.devices),
            models=wire.names_of_models(snapshot),
            workers=tuple(wire.worker_view(worker) for worker in snapshot.workers),
            draining=snapshot.draining,
        )
        self._ring()

    def _lose(self, name: str, error: RbeeError) -> None:
        if self.fleet.get(name).state != HiveState.LOST:
            narrate(
                "hive_lost",
                "hive {hive} cannot be heard: {why}",
                target=name,
                level=Level.WARN,
                hive=name,
                why=str(error),
                cute="the hum of hive {hive} is gone: {why}",
                story='"{hive}, do you hear me?" asks the queen: {why}',
            )
        self.fleet.lose(name)
        self._ring()

    async def _until(self, holds: Callable[[], bool], timeout_s: float) -> None:
        try:
            async with asyncio.timeout(timeout_s):
                while not holds():
                    await self._changed.wait()
        except TimeoutError:
            return

    def _ring(self) -> None:
        self.change_count += 1
        self._changed.set()
        self._changed = asyncio.Event()


@asynccontextmanager
async def watching(links: Sequence[HiveLink]) -> AsyncGenerator[Watch]:
    """Watch the hives for as long as the block runs."""
    watch = Watch(links)
    async with asyncio.TaskGroup() as tasks:
        following = [
            tasks.create_task(watch.follow(link), name=f"watch {link.name}") for link in links
        ]
        try:
            yield watch
        finally:
            for task in following:
                task.cancel()
