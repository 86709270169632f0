"""The client for programs, against a real server whose streams break where a test says."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import grpc
import pytest

from rbee.v1 import job_pb2, job_service_pb2 as pb, job_service_pb2_grpc as rpc, operation_pb2
from rbee_client import Client, client as client_module
from rbee_client.client import result_of
from rbee_shared.errors import JobCancelledError, RbeeError
from rbee_shared.jobs.job_service import JobService
from rbee_shared.jobs.runner import running_jobs
from rbee_shared.narration.narrate import narrate
from rbee_shared.rpc.channel import connected
from rbee_shared.rpc.server import serving
from tests.story.link import Link, linked
from tests.story.validator import Reading, faults_of

STATUS = operation_pb2.Operation(status=operation_pb2.StatusOperation())
TOLD = [f"step {number}" for number in range(40)]


class Queen:
    """A JobService behind a link; its one operation tells `TOLD`, then waits to be let go."""

    def __init__(self, link: Link, client: Client) -> None:
        self.link = link
        self.client = client
        self.go_on = asyncio.Event()
        self.started = asyncio.Event()
        self.begun = 0
        self.broken: list[RbeeError] = []

    async def execute(self, _: operation_pb2.Operation) -> operation_pb2.Result:
        self.begun += 1
        self.started.set()
        for human in TOLD:
            narrate("step", human)
            await asyncio.sleep(0)
        await self.go_on.wait()
        return operation_pb2.Result(status=operation_pb2.StatusResult(version="1"))


@asynccontextmanager
async def reigning(folder: Path) -> AsyncGenerator[Queen]:
    async with (
        asyncio.timeout(20),
        linked(folder / "link.sock", folder / "queen.sock") as link,
        connected(f"unix:{folder}/link.sock") as channel,
    ):
        broken: list[RbeeError] = []

        async def lost(error: RbeeError) -> None:
            broken.append(error)

        queen = Queen(link, Client(channel, lost=lost))
        queen.broken = broken
        async with serving_jobs(queen, folder):
            yield queen


@asynccontextmanager
async def serving_jobs(queen: Queen, folder: Path) -> AsyncGenerator[None]:
    async with running_jobs(queen.execute, who="queen") as runner:

        def add_services(server: grpc.aio.Server) -> Sequence[str]:
            rpc.add_JobServiceServicer_to_server(JobService(runner, lambda: 0.0), server)
            return [pb.DESCRIPTOR.services_by_name["JobService"].full_name]

        async with serving(
            f"unix:{folder}/queen.sock", add_services, find_story=runner.story_of, grace_s=0
        ):
            yield


def humans(events: Sequence[job_pb2.JobEvent]) -> list[str]:
    return [event.narration.human for event in events if event.HasField("narration")]


async def test_a_story_that_breaks_again_and_again_is_read_once(tmp_path: Path) -> None:
    async with reigning(tmp_path) as queen:
        reading = Reading("the program", 0)
        async for event in queen.client.run(STATUS, job_id="j-1"):
            reading.events.append(event)
            if len(reading.events) % 7 == 0:
                queen.link.cut()
            if len(humans(reading.events)) == len(TOLD):
                queen.go_on.set()
        reading.complete = True
        assert faults_of([reading]) == []
        assert humans(reading.events) == TOLD
        assert queen.begun == 1
        assert queen.broken


async def test_a_quiet_story_is_taken_up_again_too(tmp_path: Path) -> None:
    async with reigning(tmp_path) as queen:
        seen: list[job_pb2.JobEvent] = []
        async for event in queen.client.run(STATUS):
            seen.append(event)
            if len(humans(seen)) == len(TOLD) and not queen.broken:
                queen.link.cut()  # nothing more is told until it is let go
                asyncio.get_running_loop().call_later(0.3, queen.go_on.set)
        assert len(queen.broken) == 1
        assert seen[-1].state.state == job_pb2.JOB_STATE_COMPLETED


async def test_a_job_that_the_queen_never_heard_of_is_run_again(tmp_path: Path) -> None:
    async with reigning(tmp_path) as queen:
        queen.go_on.set()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(queen.link.interrupt(0.2))
            result = await queen.client.call(STATUS)
        assert result.status.version == "1"
        assert queen.begun == 1


async def test_a_queen_that_stays_away_is_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client_module, "HIVE_LEASE_S", 0.2)
    async with reigning(tmp_path) as queen:
        queen.link.down = True
        with pytest.raises(RbeeError) as error:
            await queen.client.call(STATUS)
        assert error.value.reason == "QUEEN_LOST"


async def test_a_queen_that_comes_back_without_the_job_is_no_queen_of_it(tmp_path: Path) -> None:
    async with (
        asyncio.timeout(20),
        linked(tmp_path / "link.sock", tmp_path / "queen.sock") as link,
        connected(f"unix:{tmp_path}/link.sock") as channel,
    ):
        queen = Queen(link, Client(channel))
        events = queen.client.run(STATUS)
        async with serving_jobs(queen, tmp_path):
            await anext(events)
        link.cut()
        (tmp_path / "queen.sock").unlink(missing_ok=True)
        async with serving_jobs(queen, tmp_path):
            with pytest.raises(RbeeError) as error:
                await result_of(events, lambda _: None)
        assert error.value.reason in ("QUEEN_LOST", "CANCELLED")


async def test_an_answer_is_no_break(tmp_path: Path) -> None:
    async with reigning(tmp_path) as queen:
        for call in (
            queen.client.watch("j-none"),
            queen.client.run(operation_pb2.Operation()),
        ):
            with pytest.raises(RbeeError) as error:
                await anext(call)
            assert error.value.reason in ("JOB_NOT_FOUND", "OPERATION_MISSING")
        assert queen.broken == []


async def test_a_story_that_is_all_read_has_nothing_more(tmp_path: Path) -> None:
    async with reigning(tmp_path) as queen:
        queen.go_on.set()
        await queen.client.call(STATUS, job_id="j-1")
        last = (await queen.client.job("j-1")).last_sequence
        assert [event async for event in queen.client.watch("j-1", last)] == []
        assert [job.id for job in await queen.client.jobs(10)] == ["j-1"]


async def test_a_cancelled_call_says_so(tmp_path: Path) -> None:
    async with reigning(tmp_path) as queen:
        call = asyncio.ensure_future(queen.client.call(STATUS, job_id="j-1"))
        await queen.started.wait()
        await queen.client.cancel("j-1", "enough")
        with pytest.raises(JobCancelledError, match="enough"):
            await call
