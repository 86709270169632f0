"""Queens for tests that go on where another was killed, over real channels; no hives."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc

from rbee.v1 import job_pb2, job_service_pb2 as pb, job_service_pb2_grpc as rpc, operation_pb2
from rbee_queen.recovery import Resume, recover
from rbee_shared.jobs.job_service import JobService
from rbee_shared.jobs.log import told_by
from rbee_shared.jobs.runner import Execute, JobRunner, running_jobs
from rbee_shared.narration.narrate import narrate, tell_completion
from rbee_shared.rpc.channel import connected
from rbee_shared.rpc.context import JOB_ID_KEY
from rbee_shared.rpc.server import serving
from tests.journals import Events, HeldJournal, held_journal, text_of, tokens, whole

PULL = operation_pb2.Operation(model_download=operation_pb2.ModelDownloadOperation())


@dataclass
class Queen:
    """A served queen, as far as jobs go."""

    jobs: "rpc.JobServiceAsyncStub"
    runner: JobRunner
    held: HeldJournal

    def run(self, job_id: str, operation: operation_pb2.Operation = PULL, **terms: Any) -> Any:
        request = pb.RunJobRequest(operation=operation, **terms)
        return self.jobs.RunJob(request, metadata=((JOB_ID_KEY, job_id),))

    async def watch(self, job_id: str, after: int = 0) -> Events:
        request = pb.WatchJobRequest(job_id=job_id, after_sequence=after)
        return whole(await events_of(self.jobs.WatchJob(request)), after)

    async def get(self, job_id: str) -> job_pb2.Job:
        return (await self.jobs.GetJob(pb.GetJobRequest(job_id=job_id))).job

    async def begin(
        self, job_id: str, operation: operation_pb2.Operation = PULL, **terms: Any
    ) -> Any:
        """Begin a job, wait until it is at work and written, and leave it."""
        call = self.run(job_id, operation, **terms)
        async for response in call:
            if text_of(response.events):
                break
        await self.held.settled()
        return call


async def events_of(call: Any) -> Events:
    return [event async for response in call for event in response.events]


async def work(_: operation_pb2.Operation) -> operation_pb2.Result:
    """Say two things and wait for ever."""
    narrate("step", "working")
    tell_completion(tokens("begun "))
    await asyncio.Event().wait()
    raise AssertionError


async def work_on_a_hive(_: operation_pb2.Operation) -> operation_pb2.Result:
    told_by("attic", 7)
    return await work(_)


async def no_resume(_: job_pb2.Job, hive: str, sequence: int) -> operation_pb2.Result:
    raise AssertionError((hive, sequence))


@dataclass
class Resumed:
    """How jobs are resumed: recorded, and held until the test lets them end."""

    calls: list[tuple[str, str, int]] = field(default_factory=list[tuple[str, str, int]])
    go_on: asyncio.Event = field(default_factory=asyncio.Event)

    async def resume(self, job: job_pb2.Job, hive: str, sequence: int) -> operation_pb2.Result:
        self.calls.append((job.id, hive, sequence))
        tell_completion(tokens("resumed "))
        await self.go_on.wait()
        return operation_pb2.Result(model_download=operation_pb2.ModelDownloadResult())


@asynccontextmanager
async def queen(
    file: Path, execute: Execute = work, resume: Resume = no_resume
) -> AsyncGenerator[Queen]:
    """Start a queen on a journal for the block."""
    async with (
        asyncio.timeout(20),
        held_journal(file) as held,
        running_jobs(execute, who="queen", recorder=held.journal, registry=held.registry) as runner,
    ):
        await recover(held.journal, runner, resume)

        async with serving_jobs_of(runner) as target, connected(target) as channel:
            yield Queen(rpc.JobServiceStub(channel), runner, held)


@asynccontextmanager
async def serving_jobs_of(runner: JobRunner) -> AsyncGenerator[str]:
    """Serve a runner's jobs for the block; yield where."""

    def add_services(server: grpc.aio.Server) -> list[str]:
        rpc.add_JobServiceServicer_to_server(JobService(runner, lambda: 0.0), server)
        return [pb.DESCRIPTOR.services_by_name["JobService"].full_name]

    find_story = runner.story_of
    async with serving("127.0.0.1:0", add_services, find_story=find_story, grace_s=0) as target:
        yield target


def states(events: Events) -> list[int]:
    return [event.state.state for event in events if event.HasField("state")]
