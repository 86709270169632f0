"""A served JobService whose one operation waits for its test."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import grpc
import pytest

from rbee.v1 import job_pb2, job_service_pb2 as pb, job_service_pb2_grpc as rpc, operation_pb2
from rbee_shared.errors import RbeeError
from rbee_shared.jobs.job_service import JobService
from rbee_shared.jobs.runner import Execute, JobRunner, running_jobs
from rbee_shared.narration.narrate import narrate
from rbee_shared.rpc.channel import connected
from rbee_shared.rpc.context import JOB_ID_KEY
from rbee_shared.rpc.errors import rpc_errors
from rbee_shared.rpc.server import serving

Stub: TypeAlias = "rpc.JobServiceAsyncStub"  # in stubs only
Events = list[job_pb2.JobEvent]

STATUS = operation_pb2.Operation(status=operation_pb2.StatusOperation())


@asynccontextmanager
async def serving_jobs(execute: Execute) -> AsyncGenerator[tuple[Stub, JobRunner]]:
    """Serve jobs that `execute` does; yield the way to call and the runner behind it."""
    async with running_jobs(execute, who="server") as runner:

        def add_services(server: grpc.aio.Server) -> list[str]:
            rpc.add_JobServiceServicer_to_server(JobService(runner, lambda: 0.0), server)
            return [pb.DESCRIPTOR.services_by_name["JobService"].full_name]

        async with (
            serving("127.0.0.1:0", add_services, find_story=runner.story_of, grace_s=0) as target,
            connected(target) as channel,
        ):
            yield rpc.JobServiceStub(channel), runner


@dataclass
class Work:
    """An operation that tells two things and then waits for a test."""

    go_on: asyncio.Event = field(default_factory=asyncio.Event)
    started: asyncio.Event = field(default_factory=asyncio.Event)
    cleaned: asyncio.Event = field(default_factory=asyncio.Event)

    async def execute(self, _: operation_pb2.Operation) -> operation_pb2.Result:
        try:
            narrate("step", "one")
            narrate("step", "waiting for the test")
            self.started.set()
            await self.go_on.wait()
        finally:
            self.cleaned.set()
        return operation_pb2.Result(status=operation_pb2.StatusResult(version="1"))


@dataclass
class Served:
    """A server, the way to it, and what tests ask of its jobs."""

    jobs: Stub
    runner: JobRunner
    work: Work

    def run(self, job_id: str, operation: operation_pb2.Operation = STATUS, **terms: Any) -> Any:
        request = pb.RunJobRequest(operation=operation, **terms)
        return self.jobs.RunJob(request, metadata=((JOB_ID_KEY, job_id),) if job_id else ())

    def watch(self, job_id: str, after: int = 0) -> Any:
        return self.jobs.WatchJob(pb.WatchJobRequest(job_id=job_id, after_sequence=after))

    async def cancel(self, job_id: str, reason: str = "") -> job_pb2.Job:
        request = pb.CancelJobRequest(job_id=job_id, reason=reason)
        return (await self.jobs.CancelJob(request)).job

    async def watched_by(self, job_id: str, count: int) -> None:
        """Wait until the server has noticed who left."""
        while True:
            if self.runner.registry.get(job_id).watcher_count == count:
                return
            await asyncio.sleep(0)

    async def ended(self, job_id: str) -> job_pb2.JobStateChange:
        """Wait for the job's end without being a watcher of it."""
        entry = self.runner.registry.get(job_id)
        async for events in entry.log.follow(0, lambda: 0.0):
            if entry.ended:
                return events[-1].state
        raise AssertionError

    async def events_of(self, call: Any) -> Events:
        return [event async for response in call for event in response.events]

    def whole(self, events: Events, after: int = 0) -> Events:
        """Insist that nothing is missing and that there is one end, the last; return the events."""
        for event in events:
            assert event.first_sequence == after + 1
            after = event.sequence
        ends = [event.state.state >= job_pb2.JOB_STATE_COMPLETED for event in events]
        assert ends.count(True) == 1
        assert ends[-1]
        return events

    async def refused(self, call: Any, kind: type[RbeeError]) -> RbeeError:
        """Insist that the call ends with that kind of error and return it."""
        with pytest.raises(kind) as error:
            async with rpc_errors("server"):
                await (call if hasattr(call, "__await__") else self.events_of(call))
        return error.value


@asynccontextmanager
async def _served() -> AsyncGenerator[Served]:
    work = Work()
    async with asyncio.timeout(10), serving_jobs(work.execute) as (jobs, runner):
        yield Served(jobs, runner, work)


@pytest.fixture
def served() -> Callable[[], AbstractAsyncContextManager[Served]]:
    """How to serve jobs for a block. A block, since a fixture cannot hold a task group."""
    return _served


@pytest.fixture
def job_server() -> Callable[[Execute], AbstractAsyncContextManager[tuple[Stub, JobRunner]]]:
    """How to serve jobs of the test's own."""
    return serving_jobs
