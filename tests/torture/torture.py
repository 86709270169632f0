"""A hive in the test's process that pulls from a test hub; at its end all must hold."""

import asyncio
import threading
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from rbee.v1 import job_pb2, operation_pb2 as pb
from rbee_hive.hive import Hive, opened_hive
from rbee_hive.operations import execute
from rbee_hive.transfer.policy import Policy
from rbee_shared.errors import RbeeError
from rbee_shared.jobs.registry import JobEntry
from rbee_shared.jobs.runner import JobRunner, running_jobs
from rbee_shared.paths import resolve
from rbee_shared.settings import Settings
from tests.hub.hub import Hub
from tests.journals import until
from tests.torture import invariants
from tests.torture.repos import READY
from tests.transfers import QUICK

FETCHING = "model_download"
DEADLINE_S = 20.0


@dataclass
class Job:
    """A job that is watched from its beginning."""

    entry: JobEntry
    events: list[job_pb2.JobEvent] = field(default_factory=list[job_pb2.JobEvent])
    news: asyncio.Event = field(default_factory=asyncio.Event)

    async def watch(self) -> None:
        """Keep all that it tells, until it is over."""
        async for events in self.entry.log.follow(0, lambda: 0.0):
            self.events.extend(events)
            self.news.set()
            self.news = asyncio.Event()

    async def until(self, holds: Callable[[], bool]) -> None:
        """Wait until something holds after what it told; its end is the last chance."""
        while not holds():
            assert not self.is_over, self.humans
            await self.news.wait()

    async def ended(self) -> pb.Result:
        """Wait for its result.

        Raises:
            RbeeError: it failed, or was cancelled.
        """
        await self.until(lambda: self.is_over)
        if self.entry.error is not None:
            raise self.entry.error
        return next(each.result for each in self.events if each.HasField("result"))

    @property
    def is_over(self) -> bool:
        """Whether it told its end."""
        return bool(self.events) and self.events[-1].state.state in ENDS

    @property
    def fetched(self) -> list[float]:
        """How far its transfer was, as it was told."""
        return [told.progress.done for told in self._told() if told.action == FETCHING]

    @property
    def humans(self) -> list[str]:
        """What people were told."""
        return [told.human for told in self._told()]

    def _told(self) -> list[Any]:
        return [each.narration for each in self.events if each.HasField("narration")]


ENDS = (job_pb2.JOB_STATE_COMPLETED, job_pb2.JOB_STATE_FAILED, job_pb2.JOB_STATE_CANCELLED)


@dataclass
class Torture:
    """A hive and its hub, and what is done to them."""

    hub: Hub
    hive: Hive
    runner: JobRunner
    tasks: asyncio.TaskGroup
    models: Path
    jobs: list[Job] = field(default_factory=list[Job])

    def start(self, **operation: Any) -> Job:
        """Start a job; the name of its operation is the keyword."""
        request = job_pb2.Job(id=f"j-{len(self.jobs)}", operation=pb.Operation(**operation))
        job = Job(self.runner.submit(request, timeout_s=DEADLINE_S, lease_s=None))
        self.jobs.append(job)
        self.tasks.create_task(job.watch())
        return job

    def start_pull(self, model: str = READY, **terms: Any) -> Job:
        """Start a job that pulls."""
        return self.start(model_download=pb.ModelDownloadOperation(model=model, **terms))

    async def pull(self, model: str = READY, **terms: Any) -> pb.ModelDownloadResult:
        """Pull to the end."""
        return (await self.start_pull(model, **terms).ended()).model_download

    async def refused(self, model: str = READY, **terms: Any) -> RbeeError:
        """Pull what cannot be had; return why."""
        return await error_of(self.start_pull(model, **terms))

    async def cancel(self, *jobs: Job) -> None:
        """Cancel jobs and wait for their ends."""
        for job in jobs:
            self.runner.cancel(job.entry.id, "the test wants it")
        for job in jobs:
            await error_of(job)

    async def settled(self) -> None:
        """Wait until no pull is at work: who waited for one is gone before it has cleaned up."""
        await until(lambda: not self.hive.models.pulls)

    def folders(self) -> list[Path]:
        """Return the folders of the models that are here."""
        return sorted(each for each in self.models.iterdir() if not each.name.startswith("."))

    def parts(self) -> set[str]:
        """Return what lies where files on their way are."""
        return invariants.names_in(self.models / ".parts")

    def check(self) -> None:
        """Look at everything that must hold."""
        invariants.check_models(self.models)
        ends = {job.entry.operation.model_download.model: job.entry.error for job in self.jobs}
        invariants.check_nothing_left(self.models, parts=any(ends.values()))
        invariants.check_closed(self.models)
        for job in self.jobs:
            invariants.check_story(job.events)
        told = b"".join(each.SerializeToString() for job in self.jobs for each in job.events)
        invariants.check_secret(self.hub, self.models.parent, told)


async def reached(event: threading.Event) -> None:
    """Wait until the hub came to a fault."""
    assert await asyncio.to_thread(event.wait, DEADLINE_S)


async def error_of(job: Job) -> RbeeError:
    """Wait for the end of a job that fails; return why it did."""
    try:
        await job.ended()
    except RbeeError as error:
        return error
    raise AssertionError("it worked")


@asynccontextmanager
async def tortured(home: Path, hub: Hub, policy: Policy = QUICK) -> AsyncGenerator[Torture]:
    """Have a hive in `home` for the block; what must hold is checked before it closes."""
    paths = resolve({"RBEE_HOME": str(home)}).create()
    async with (
        asyncio.timeout(DEADLINE_S),
        opened_hive("attic", paths, Settings(), policy=policy) as hive,
        asyncio.TaskGroup() as tasks,
        running_jobs(partial(execute, hive), who="hive") as runner,
    ):
        torture = Torture(hub, hive, runner, tasks, paths.models)
        yield torture
        await torture.settled()
        torture.check()
