"""Keeping the fleet true: one stream of snapshots a hive; the open stream is the heartbeat."""

import asyncio
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager

from rbee.v1 import hive_pb2
from rbee_queen import wire
from rbee_queen.fleet import Fleet, HiveState
from rbee_queen.hive_link import HiveLink
from rbee_shared.errors import RbeeError, UnavailableError
from rbee_shared.limits import CONNECT_TIMEOUT_S, RECONNECT_S, RECONNECT_S_MAX
from rbee_shared.narration.event import Level
from rbee_shared.narration.narrate import narrate


class Watch:
    """The fleet, kept true by the hives' own word. Made by `watching`."""

    def __init__(self, links: Sequence[HiveLink]) -> None:
        self.fleet = Fleet()
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

    async def change(self, timeout_s: float) -> None:
        """Return when something is heard, or after `timeout_s`."""
        try:
            async with asyncio.timeout(timeout_s):
                await self._changed.wait()
        except TimeoutError:
            return

    async def settled(self) -> None:
        """Wait until no hive is CONNECTING any more, but not for long."""
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                while any(hive.state == HiveState.CONNECTING for hive in self.fleet.all()):
                    await self._changed.wait()
        except TimeoutError:
            return

    async def follow(self, link: HiveLink) -> None:
        """Follow one hive for ever, again and again."""
        pause_s = RECONNECT_S
        while True:
            try:
                async for snapshot in link.watch():
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

    def _ring(self) -> None:
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
