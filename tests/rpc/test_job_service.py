"""JobService over a real channel: running, attaching, watching, listing, and what is refused."""

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import grpc
import pytest

from rbee.v1 import job_pb2, job_service_pb2 as pb, operation_pb2
from rbee_shared.contracts import wire
from rbee_shared.errors import (
    AlreadyExistsError,
    InvalidArgumentError,
    JobNotFoundError,
    NotFoundError,
)
from rbee_shared.rpc.context import JOB_ID_KEY

Serve = Callable[[], AbstractAsyncContextManager[Any]]

HIVE_LIST = operation_pb2.Operation(hive_list=operation_pb2.HiveListOperation())


async def test_a_job_is_followed_to_its_end(served: Serve) -> None:
    async with served() as server:
        server.work.go_on.set()
        call = server.run("")
        metadata = dict(await call.initial_metadata())
        responses = [response async for response in call]
        events = server.whole([event for response in responses for event in response.events])
        job_id = str(metadata[JOB_ID_KEY])
        assert {response.job_id for response in responses} == {job_id}
        assert (await call.code()) == grpc.StatusCode.OK
        kinds = [event.WhichOneof("kind") for event in events]
        assert kinds == ["state", "state", "narration", "narration", "result", "state"]
        assert events[-1].state.state == job_pb2.JOB_STATE_COMPLETED
        job = (await server.jobs.GetJob(pb.GetJobRequest(job_id=job_id))).job
        assert (job.state, job.last_sequence) == (job_pb2.JOB_STATE_COMPLETED, 6)
        assert job.HasField("end_time")


async def test_the_same_id_attaches_and_another_operation_is_refused(served: Serve) -> None:
    async with served() as server:
        first = server.run("j-1")
        await server.work.started.wait()
        second = server.run("j-1")
        await second.initial_metadata()
        error = await server.refused(server.run("j-1", HIVE_LIST), AlreadyExistsError)
        assert error.reason == "JOB_ID_TAKEN"
        server.work.go_on.set()
        events = server.whole(await server.events_of(first))
        assert events == await server.events_of(second)
        assert events == await server.events_of(server.run("j-1"))  # it has ended by now
        assert len(server.runner.registry.page([], 0, "")[0]) == 1


@pytest.mark.parametrize("job_id", ["-x", "a b", "x" * 65, "../x"])
async def test_a_malformed_id_is_refused(served: Serve, job_id: str) -> None:
    async with served() as server:
        assert (
            await server.refused(server.run(job_id), InvalidArgumentError)
        ).reason == "JOB_ID_MALFORMED"


@pytest.mark.parametrize(
    ("terms", "reason"),
    [
        ({"operation": operation_pb2.Operation()}, "OPERATION_MISSING"),
        ({"timeout": wire.duration(0)}, "TIMEOUT_MALFORMED"),
        ({"timeout": wire.duration(-5)}, "TIMEOUT_MALFORMED"),
        ({"lease": wire.duration(-5)}, "LEASE_MALFORMED"),
    ],
)
async def test_terms_that_cannot_be_are_refused(
    served: Serve, terms: dict[str, Any], reason: str
) -> None:
    async with served() as server:
        assert (
            await server.refused(server.run("j-1", **terms), InvalidArgumentError)
        ).reason == reason
        assert server.runner.registry.find("j-1") is None


async def test_watchers_see_the_same_whenever_they_come(served: Serve) -> None:
    async with served() as server:
        call = server.run("j-1")
        await server.work.started.wait()
        early = asyncio.create_task(server.events_of(server.watch("j-1")))
        resumed = asyncio.create_task(server.events_of(server.watch("j-1", after=3)))
        server.work.go_on.set()
        events = server.whole(await server.events_of(call))
        assert events == await early == await server.events_of(server.watch("j-1"))
        assert events[3:] == server.whole(await resumed, after=3)
        for after in range(6):
            assert (
                server.whole(await server.events_of(server.watch("j-1", after)), after)
                == events[after:]
            )
        assert await server.events_of(server.watch("j-1", after=6)) == []


@pytest.mark.parametrize("after", [-1, 7, 2**62])
async def test_a_sequence_that_was_never_told_is_refused(served: Serve, after: int) -> None:
    async with served() as server:
        server.work.go_on.set()
        server.whole(await server.events_of(server.run("j-1")))
        error = await server.refused(server.watch("j-1", after), InvalidArgumentError)
        assert error.reason == "SEQUENCE_UNKNOWN"


async def test_an_unknown_job_is_not_found_by_any_method(served: Serve) -> None:
    async with served() as server:
        for call in (
            server.watch("nope"),
            server.jobs.GetJob(pb.GetJobRequest(job_id="nope")),
            server.jobs.CancelJob(pb.CancelJobRequest(job_id="nope\x1b[31m")),
        ):
            error = await server.refused(call, NotFoundError)
            assert (error.reason, error.hint) == ("JOB_NOT_FOUND", JobNotFoundError.hint)
            assert str(error) == "no job `nope`"


async def test_jobs_are_listed_page_by_page(served: Serve) -> None:
    async with served() as server:
        server.work.go_on.set()
        for number in range(5):
            server.whole(await server.events_of(server.run(f"j-{number}")))
        seen: list[str] = []
        request = pb.ListJobsRequest(page_size=2)
        while True:
            response = await server.jobs.ListJobs(request)
            seen += [job.id for job in response.jobs]
            request.page_token = response.next_page_token
            if not request.page_token:
                break
        assert seen == ["j-4", "j-3", "j-2", "j-1", "j-0"]
        failed = pb.ListJobsRequest(states=[job_pb2.JOB_STATE_FAILED])
        assert not (await server.jobs.ListJobs(failed)).jobs
        request = pb.ListJobsRequest(page_size=-1)
        await server.refused(server.jobs.ListJobs(request), InvalidArgumentError)
