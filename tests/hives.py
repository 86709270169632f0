"""Hives whose work is a test's own, behind each kind of link, and jobs of a queen that use them."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc

from rbee.v1 import (
    hive_pb2,
    hive_service_pb2,
    hive_service_pb2_grpc,
    job_pb2,
    job_service_pb2_grpc,
    operation_pb2 as pb,
)
from rbee_queen.hive_link import HiveLink
from rbee_queen.local_hive import LocalHive
from rbee_queen.remote_hive import dialled_hive
from rbee_shared.jobs.job_service import JobService
from rbee_shared.jobs.registry import JobEntry
from rbee_shared.jobs.runner import Execute, JobRunner, running_jobs
from rbee_shared.rpc.server import serving

STATUS = pb.Operation(status=pb.StatusOperation())


async def refuse(_: pb.Operation) -> pb.Result:
    """The work of a hive that is not to be asked."""
    raise AssertionError


@dataclass
class ScriptedHive:
    """What a hive does and says of itself; `say` has all watchers told, `left` that one left."""

    name: str
    execute: Execute = refuse
    snapshot: hive_pb2.HiveSnapshot = field(default_factory=hive_pb2.HiveSnapshot)
    watched: asyncio.Event = field(default_factory=asyncio.Event)
    left: asyncio.Event = field(default_factory=asyncio.Event)
    _said: asyncio.Event = field(default_factory=asyncio.Event)

    def say(self, **snapshot: Any) -> None:
        self.snapshot = hive_pb2.HiveSnapshot(name=self.name, **snapshot)
        self._said.set()
        self._said = asyncio.Event()

    async def snapshots(self) -> AsyncGenerator[hive_pb2.HiveSnapshot]:
        self.watched.set()
        try:
            while True:
                said = self._said
                yield self.snapshot
                await said.wait()
        finally:
            self.left.set()

    def local(self) -> LocalHive:
        return LocalHive(self.name, self.execute, self.snapshots)


class _Snapshots(hive_service_pb2_grpc.HiveServiceServicer):
    def __init__(self, hive: ScriptedHive) -> None:
        self._hive = hive

    async def WatchHive(
        self, request: hive_service_pb2.WatchHiveRequest, context: Any
    ) -> AsyncGenerator[hive_service_pb2.WatchHiveResponse]:
        async for snapshot in self._hive.snapshots():
            yield hive_service_pb2.WatchHiveResponse(snapshot=snapshot)


@asynccontextmanager
async def listening(
    hive: ScriptedHive,
    runner: JobRunner,
    socket: Path,
    interceptors: Sequence[grpc.aio.ServerInterceptor] = (),
) -> AsyncGenerator[str]:
    """Serve a hive's jobs for the block; leaving it breaks every stream, as a crash does."""

    def add_services(server: grpc.aio.Server) -> list[str]:
        jobs = JobService(runner, lambda: 0.0)
        job_service_pb2_grpc.add_JobServiceServicer_to_server(jobs, server)
        hive_service_pb2_grpc.add_HiveServiceServicer_to_server(_Snapshots(hive), server)
        return []

    async with serving(
        f"unix:{socket}",
        add_services,
        find_story=runner.story_of,
        interceptors=interceptors,
        grace_s=0,
    ) as target:
        yield target


@asynccontextmanager
async def remote(
    hive: ScriptedHive, socket: Path, *interceptors: grpc.aio.ServerInterceptor
) -> AsyncGenerator[tuple[HiveLink, JobRunner]]:
    """Serve a hive and dial it for the block; yield the link, and the runner behind it."""
    async with (
        running_jobs(hive.execute, who="hive") as runner,
        listening(hive, runner, socket, interceptors) as target,
        dialled_hive(hive.name, target) as link,
    ):
        yield link, runner


@dataclass
class QueenJobs:
    """Jobs of a queen, each of which runs what its test gives."""

    runner: JobRunner

    def submit(
        self,
        job_id: str,
        execute: Execute,
        operation: pb.Operation = STATUS,
        *,
        timeout_s: float = 20,
    ) -> JobEntry:
        job = job_pb2.Job(id=job_id, operation=operation, correlation_id=f"c-{job_id}")
        return self.runner.submit(job, timeout_s=timeout_s, lease_s=None, execute=execute)


@asynccontextmanager
async def queen_jobs() -> AsyncGenerator[QueenJobs]:
    """Run jobs of a queen for the block, which has ten seconds."""
    async with asyncio.timeout(10), running_jobs(refuse, who="queen") as runner:
        yield QueenJobs(runner)


async def story(entry: JobEntry) -> list[job_pb2.JobEvent]:
    """Wait for the job's end and return all that it told."""
    batches = [events async for events in entry.log.follow(0, lambda: 0.0)]
    return [event for events in batches for event in events]


def told(events: Sequence[job_pb2.JobEvent]) -> list[str]:
    """Return what people and clients were told, in order: sentences, and tokens in quotes."""
    said: list[str] = []
    for event in events:
        if event.HasField("narration"):
            said.append(event.narration.human)
        if event.HasField("completion"):
            said.append(f"'{event.completion.text}'")
    return said
