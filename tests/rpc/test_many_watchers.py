"""Many watchers of one job that tells a lot, some of whom stop reading: no gap is left untold."""

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

from rbee.v1 import job_pb2, job_service_pb2 as pb, operation_pb2
from rbee_shared.jobs.merge import BATCH_EVENTS_MAX, is_ended
from rbee_shared.jobs.runner import Execute
from rbee_shared.narration.narrate import narrate

JobServer = Callable[[Execute], AbstractAsyncContextManager[Any]]

TOLD, BURST, LIVE, STALLED = 1_000, 10, 17, 3
EVENTS = TOLD + 4  # queued, running; the result and the end


class Story:
    """What one watcher has read."""

    def __init__(self, call: Any) -> None:
        self._responses = aiter(call)
        self.events: list[job_pb2.JobEvent] = []
        self.message_count = 0

    async def read(self) -> bool:
        """Read one message; return whether there was one."""
        response = await anext(self._responses, None)
        if response is None:
            return False
        self.message_count += 1
        assert len(response.events) <= BATCH_EVENTS_MAX
        self.events.extend(response.events)
        return True

    async def rest(self) -> None:
        while await self.read():
            pass

    def assert_whole(self) -> None:
        after = 0
        for event in self.events:
            assert event.first_sequence == after + 1
            after = event.sequence
        assert is_ended(self.events[-1])
        assert after == EVENTS


class Work:
    """Tells `TOLD` things in bursts, and lets others run between two of them."""

    def __init__(self) -> None:
        self.go_on = asyncio.Event()
        self.told = asyncio.Event()

    async def execute(self, _: operation_pb2.Operation) -> operation_pb2.Result:
        await self.go_on.wait()
        for number in range(TOLD):
            narrate("step", "step {number}", number=number)
            if number % BURST == 0:
                await asyncio.sleep(0)
        self.told.set()
        return operation_pb2.Result(status=operation_pb2.StatusResult(version="1"))


async def test_each_of_many_watchers_gets_a_whole_story(job_server: JobServer) -> None:
    work = Work()
    async with asyncio.timeout(20), job_server(work.execute) as (jobs, runner):
        job = job_pb2.Job(
            id="j-1", operation=operation_pb2.Operation(status=operation_pb2.StatusOperation())
        )
        runner.submit(job, timeout_s=60, lease_s=None)
        stories = [
            Story(jobs.WatchJob(pb.WatchJobRequest(job_id="j-1"))) for _ in range(LIVE + STALLED)
        ]
        for story in stories:
            assert await story.read()
        stalled, live = stories[:STALLED], stories[STALLED:]
        work.go_on.set()
        await work.told.wait()  # whoever does not read holds nobody up
        async with asyncio.TaskGroup() as tasks:
            for story in live:
                tasks.create_task(story.rest())
        for story in live:
            story.assert_whole()
            assert len(story.events) == EVENTS  # far from the bound: all of it, one by one
        for story in stalled:
            assert story.message_count == 1
            await story.rest()
            story.assert_whole()
            assert [event.sequence for event in story.events] == list(range(1, EVENTS + 1))
