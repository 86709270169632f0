"""A queen and a hive that can be killed, with links that can be cut, for one history."""

import asyncio
import os
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path

import psutil
from google.protobuf import json_format

from rbee.v1 import job_pb2
from rbee_client import Client
from rbee_shared.lifecycle import lock
from rbee_shared.rpc.channel import connected
from tests.story.forge import EXECUTIONS, HIVE_LINK
from tests.story.link import Link, linked

POLL_S = 0.005
START_S_MAX = 20.0


class Forge:
    """Starts queens and hives. Made by `opened_forge`."""

    def __init__(self, process: Process) -> None:
        self._process = process
        self._one_at_a_time = asyncio.Lock()

    async def start(self, role: str, folder: Path, *arguments: str) -> int:
        """Start one and return its pid; it is not ready yet."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        async with self._one_at_a_time:
            self._process.stdin.write(" ".join((role, str(folder), *arguments)).encode() + b"\n")
            return int(await self._process.stdout.readline())


@asynccontextmanager
async def opened_forge() -> AsyncGenerator[Forge]:
    """Have a forge for the block."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.story.forge", stdin=PIPE, stdout=PIPE
    )
    assert process.stdin is not None
    try:
        yield Forge(process)
    finally:
        process.stdin.close()
        await process.wait()


class Keeper:
    """A `rbee job watch --json` in a process of its own."""

    def __init__(self, pid: int, file: Path) -> None:
        self.pid = pid
        self.killed = False
        self._file = file

    def kill(self) -> None:
        """Kill it, as nobody can prepare for."""
        self.killed = True
        with suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)

    async def ended(self) -> None:
        """Wait until it has ended."""
        while True:  # a process of another process: there is no event to wait for
            if not psutil.pid_exists(self.pid):
                return
            await asyncio.sleep(POLL_S)

    def events(self) -> list[job_pb2.JobEvent]:
        """Return the events that it printed; a last line that was cut is none."""
        lines = self._file.read_bytes().split(b"\n")[:-1] if self._file.exists() else []
        return [json_format.Parse(line, job_pb2.JobEvent()) for line in lines]


class World:
    """One home with its two daemons. Made by `opened_world`."""

    def __init__(self, folder: Path, forge: Forge, hive_link: Link, client_link: Link) -> None:
        self.folder = folder
        self.hive_link = hive_link
        self.client_link = client_link
        self._forge = forge
        self._pids: dict[str, int] = {}
        self._keepers: list[Keeper] = []
        self.deaths: list[str] = []  # of daemons and links

    async def start(self, role: str) -> None:
        """Start a daemon and wait until it takes calls."""
        pid = self._pids[role] = await self._forge.start(role, self.folder)
        lock_file = self.folder / "run" / f"{role}.lock"
        async with asyncio.timeout(START_S_MAX):
            while True:  # another process writes it: there is no event to wait for
                holder = lock.holder_of(lock_file)
                if holder is not None and holder.pid == pid:
                    return
                await asyncio.sleep(POLL_S)

    async def watch(self, job_id: str, after: int) -> Keeper:
        """Start a keeper that watches a job after that sequence."""
        arguments = ("job", "watch", job_id, "--json", "--from", str(after + 1))
        pid = await self._forge.start("keeper", self.folder, *arguments)
        keeper = Keeper(pid, self.folder / f"keeper-{pid}.out")
        self._keepers.append(keeper)
        return keeper

    def kill(self, role: str) -> None:
        """Kill a daemon, as nobody can prepare for."""
        self.deaths.append(role)
        with suppress(ProcessLookupError):
            os.kill(self._pids.pop(role), signal.SIGKILL)

    async def restart(self, role: str, away_s: float) -> None:
        """Kill a daemon and start it again after that long."""
        self.kill(role)
        await asyncio.sleep(away_s)
        await self.start(role)

    def close(self) -> None:
        """Kill what still runs."""
        for keeper in self._keepers:
            keeper.kill()
        for role in list(self._pids):
            self.kill(role)

    def executions(self) -> list[str]:
        """Return the ids of the jobs that the hive began, once for each time."""
        file = self.folder / EXECUTIONS
        return file.read_text().split() if file.exists() else []


@asynccontextmanager
async def opened_world(folder: Path, forge: Forge) -> AsyncGenerator[tuple[World, Client]]:
    """Have a home with a queen, a hive and a client of them for the block."""
    (folder / "run").mkdir(mode=0o700, parents=True)
    async with AsyncExitStack() as stack:
        hive_link = await stack.enter_async_context(
            linked(folder / HIVE_LINK, folder / "run" / "hive.sock")
        )
        client_link = await stack.enter_async_context(
            linked(folder / "client-link.sock", folder / "run" / "queen.sock")
        )
        world = World(folder, forge, hive_link, client_link)
        stack.callback(world.close)
        await world.start("hive")
        await world.start("queen")
        channel = await stack.enter_async_context(connected(f"unix:{folder}/client-link.sock"))
        yield world, Client(channel)
