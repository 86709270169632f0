"""One random history: jobs started, watched, left and cancelled, links cut, daemons killed.

The seed decides what is done and in which order; when each thing meets the others is up to the
machine. A fault that a seed finds may need a few runs of that seed to be seen again.
"""

import asyncio
import random
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass, field
from pathlib import Path

from rbee.v1 import job_pb2
from rbee_client import Client
from rbee_shared.errors import NotFoundError, RbeeError, UnavailableError
from tests.story.outcome import faults_of_end
from tests.story.script import Script
from tests.story.validator import Reading, faults_of
from tests.story.world import Forge, Keeper, World, opened_world

JOBS_MAX = 4
ACTIONS = 12
HISTORY_S_MAX = 90.0
END_S_MAX = 30.0
POLL_S = 0.02
REREADINGS = 3

Events = AsyncGenerator[job_pb2.JobEvent]


@dataclass
class Told:
    """One job of a history, and what is known of it."""

    id: str
    script: Script
    keeps: bool  # nobody needs to stay for it
    private: bool
    cancelled: bool = False
    readings: list[Reading] = field(default_factory=list[Reading])
    watchers: list[asyncio.Task[None]] = field(default_factory=list[asyncio.Task[None]])
    faults: list[str] = field(default_factory=list[str])

    @property
    def places(self) -> list[int]:
        """Every place at which somebody has stopped reading, or could have."""
        return [0, *(event.sequence for reading in self.readings for event in reading.events)]

    @property
    def heard(self) -> bool:
        """Whether anybody got anything of it."""
        return any(reading.events for reading in self.readings)


class History:
    """Plays one seed."""

    def __init__(self, seed: int, world: World, client: Client, tasks: asyncio.TaskGroup) -> None:
        self._seed = seed
        self._chance = random.Random(seed)
        self._world = world
        self._client = client
        self._tasks = tasks
        self._jobs: list[Told] = []
        self._keepers: list[Keeper] = []

    async def play(self) -> list[str]:
        """Do everything, wait for all ends, and return what is wrong."""
        actions = {
            self._submit: 6,
            self._watch: 6,
            self._start_keeper: 1,
            self._kill_keeper: 1,
            self._leave: 2,
            self._cancel: 2,
            self._cut_client: 2,
            self._cut_hive: 2,
            self._kill_queen: 2,
            self._kill_hive: 1,
        }
        await self._submit()
        for act in self._chance.choices(list(actions), list(actions.values()), k=ACTIONS):
            await act()
            await asyncio.sleep(self._chance.choice((0, 0.005, 0.02, 0.05)))
        faults: list[str] = []
        for told in self._jobs:
            await self._judge(told)
            faults += [f"{told.id}: {fault}" for fault in told.faults]
        return faults

    async def _submit(self) -> None:
        if len(self._jobs) == JOBS_MAX:
            return
        chance, number = self._chance, len(self._jobs)
        script = Script(
            self._seed * JOBS_MAX + number,
            chance.choice((0, 1, 5, 40, 120)),
            chance.choice((0, 0.001, 0.004)),
        )
        keeps, private = chance.random() < 0.6, chance.random() < 0.1
        told = Told(f"j-{self._seed}-{number}", script, keeps, private)
        self._jobs.append(told)
        policy = job_pb2.ON_DISCONNECT_DETACH if keeps else job_pb2.ON_DISCONNECT_CANCEL
        events = self._client.run(
            script.operation(), job_id=told.id, on_disconnect=policy, private=private
        )
        self._read(told, Reading("who ran it", 0), events)

    async def _watch(self) -> None:
        told = self._chance.choice(self._jobs)
        after = self._chance.choice((0, self._chance.choice(told.places)))
        reading = Reading(f"watcher {len(told.readings)} after {after}", after)
        self._read(told, reading, self._client.watch(told.id, after))

    async def _start_keeper(self) -> None:
        told = self._chance.choice([told for told in self._jobs if told.heard] or self._jobs)
        after = self._chance.choice((0, self._chance.choice(told.places)))
        keeper = await self._world.watch(told.id, after)
        reading = Reading(f"keeper {len(told.readings)} after {after}", after)
        told.readings.append(reading)
        told.watchers.append(self._tasks.create_task(self._hearing(told, reading, keeper)))
        self._keepers.append(keeper)

    async def _kill_keeper(self) -> None:
        if self._keepers:
            self._chance.choice(self._keepers).kill()

    async def _hearing(self, told: Told, reading: Reading, keeper: Keeper) -> None:
        was_heard = told.heard
        try:
            await keeper.ended()
        finally:
            reading.events.extend(keeper.events())
        reading.complete = was_heard and not keeper.killed

    async def _leave(self) -> None:
        told = self._chance.choice(self._jobs)
        self._chance.choice(told.watchers).cancel()

    async def _cancel(self) -> None:
        told = self._chance.choice(self._jobs)
        told.cancelled = True
        try:
            await self._client.cancel(told.id, "the history says so")
        except RbeeError:
            return  # the queen is away, or does not know it yet

    async def _cut_client(self) -> None:
        await self._world.client_link.interrupt(self._chance.choice((0, 0.02, 0.1)))

    async def _cut_hive(self) -> None:
        self._world.deaths.append("link")
        await self._world.hive_link.interrupt(self._chance.choice((0, 0.02, 0.1)))

    async def _kill_queen(self) -> None:
        await self._world.restart("queen", self._chance.choice((0, 0.05)))

    async def _kill_hive(self) -> None:
        await self._world.restart("hive", self._chance.choice((0, 0.05)))

    def _read(self, told: Told, reading: Reading, events: Events) -> None:
        told.readings.append(reading)
        work = self._reading(told, reading, events)
        told.watchers.append(self._tasks.create_task(work))

    async def _reading(self, told: Told, reading: Reading, events: Events) -> None:
        was_heard = told.heard
        try:
            async with aclosing(events):
                async for event in events:
                    reading.events.append(event)
            reading.complete = True
        except NotFoundError as error:
            if was_heard:
                told.faults.append(f"{reading.watcher}: {error}")
        except UnavailableError as error:
            if "without the job" in str(error):
                told.faults.append(f"{reading.watcher}: {error}")
        except RbeeError as error:
            told.faults.append(f"{reading.watcher}: {error!r}")

    async def _judge(self, told: Told) -> None:
        job = await self._ended(told)
        if job is None:
            if told.heard:
                told.faults.append("it is lost")
            return
        _, waiting = await asyncio.wait(told.watchers, timeout=END_S_MAX)
        told.faults += ["a watcher waits for ever" for _ in waiting]
        for after in {0, *self._chance.choices(told.places, k=REREADINGS)}:
            reading = Reading(f"reader after {after}", after)
            told.readings.append(reading)
            await self._reading(told, reading, self._client.watch(told.id, after))
            if not reading.complete:
                told.faults.append(f"{reading.watcher}: cannot read it")
        told.faults += faults_of(told.readings)
        told.faults += faults_of_end(
            job,
            told.script,
            next(reading for reading in reversed(told.readings) if reading.after == 0),
            may_be_cancelled=told.cancelled or not told.keeps,
            deaths=self._world.deaths,
        )
        lives = 1 + self._world.deaths.count("hive")  # what died with a hive may be begun anew
        if (count := self._world.executions().count(told.id)) > lives:
            told.faults.append(f"it was begun {count} times")

    async def _ended(self, told: Told) -> job_pb2.Job | None:
        end_s = asyncio.get_running_loop().time() + END_S_MAX
        while True:
            try:
                job = await self._client.job(told.id)
            except NotFoundError:
                if all(watcher.done() for watcher in told.watchers):
                    return None
            except UnavailableError:
                pass
            else:
                if job.HasField("end_time"):
                    return job
                if asyncio.get_running_loop().time() > end_s:
                    told.faults.append("it does not end")
                    return job
            await asyncio.sleep(POLL_S)


async def play(seed: int, folder: Path, forge: Forge) -> list[str]:
    """Play one seed in a home of its own; return what is wrong, with the daemons' logs."""
    try:
        async with (
            asyncio.timeout(HISTORY_S_MAX),
            opened_world(folder, forge) as (world, client),
            asyncio.TaskGroup() as tasks,
        ):
            faults = await History(seed, world, client, tasks).play()
    except TimeoutError:
        faults = [f"it took longer than {HISTORY_S_MAX:.0f} s"]
    if faults:
        faults.append(world_log(folder))
    return faults


def world_log(folder: Path) -> str:
    """Return what the daemons of a home wrote."""
    files = [folder / f"{role}.out" for role in ("queen", "hive")]
    return "\n".join(f"--- {file.name}\n{file.read_text()}" for file in files if file.exists())
