"""The hive within the queen's process: a call is as apart from its caller as one over a wire."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from contextvars import ContextVar
from pathlib import Path

import pytest

from rbee.v1 import operation_pb2
from rbee_hive.hive import opened_hive
from rbee_queen.local_hive import LocalHive
from rbee_shared.errors import UnavailableError
from rbee_shared.ids import LOCALHOST
from rbee_shared.jobs.log import JobLog
from rbee_shared.jobs.runner import Execute
from rbee_shared.narration.context import JOB, NO_JOB, JobContext, current
from rbee_shared.narration.narrate import narrate
from rbee_shared.paths import Paths
from rbee_shared.settings import load

OPERATION = operation_pb2.Operation(worker_list=operation_pb2.WorkerListOperation())
MARK: ContextVar[str] = ContextVar("mark", default="outside")


@asynccontextmanager
async def local_hive(folder: Path, execute: Execute) -> AsyncGenerator[LocalHive]:
    paths = Paths(folder, folder / "models", folder, folder / "run").create()
    async with (
        asyncio.timeout(10),
        opened_hive(LOCALHOST, paths, load(paths.settings_file)) as hive,
    ):
        yield LocalHive(hive.name, execute, hive.snapshots)


async def test_no_context_leaks_out_and_the_callers_reaches_all_within(tmp_path: Path) -> None:
    seen: list[tuple[str, str]] = []

    def look() -> None:
        seen.append((MARK.get(), current().job_id))

    async def in_task() -> None:
        look()

    async def generated() -> AsyncGenerator[None]:
        look()
        yield

    async def execute(_: operation_pb2.Operation) -> operation_pb2.Result:
        MARK.set("inside")
        await asyncio.sleep(0)
        look()
        await asyncio.to_thread(look)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(in_task())
        async for each in generated():
            assert each is None
        JOB.set(NO_JOB)
        return operation_pb2.Result()

    async with local_hive(tmp_path, execute) as hive:
        log = JobLog()
        JOB.set(JobContext("j-1", story=log))
        await hive.run(OPERATION)
        assert seen == [("inside", "j-1")] * 4
        assert (MARK.get(), current().job_id) == ("outside", "j-1")
        assert log.origin == (LOCALHOST, 0)


async def test_two_calls_at_once_do_not_see_each_other(tmp_path: Path) -> None:
    met = asyncio.Barrier(2)

    async def execute(_: operation_pb2.Operation) -> operation_pb2.Result:
        before = MARK.get()
        MARK.set(current().job_id)
        await met.wait()
        assert (before, MARK.get()) == ("outside", current().job_id)
        narrate("step", "told")
        return operation_pb2.Result()

    async def call(hive: LocalHive, job_id: str, log: JobLog) -> None:
        JOB.set(JobContext(job_id, story=log))
        await hive.run(OPERATION)

    async with local_hive(tmp_path, execute) as hive:
        logs = [JobLog(), JobLog()]
        async with asyncio.TaskGroup() as tasks:
            for number, log in enumerate(logs):
                tasks.create_task(call(hive, f"j-{number}", log))
        for log in logs:
            assert [event.narration.actor for event in log.read(0)] == ["hive"]


async def test_cancelling_the_caller_stops_the_work(tmp_path: Path) -> None:
    started, cleaned = asyncio.Event(), asyncio.Event()

    async def for_ever() -> None:
        try:
            started.set()
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            cleaned.set()

    async def execute(_: operation_pb2.Operation) -> operation_pb2.Result:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(for_ever())
        return operation_pb2.Result()

    async with local_hive(tmp_path, execute) as hive:
        caller = asyncio.create_task(hive.run(OPERATION))
        await started.wait()
        caller.cancel()
        with pytest.raises(asyncio.CancelledError):
            await caller
        assert cleaned.is_set()


async def test_a_limit_of_time_within_is_its_own(tmp_path: Path) -> None:
    async def execute(_: operation_pb2.Operation) -> operation_pb2.Result:
        try:
            async with asyncio.timeout(0):
                await asyncio.Event().wait()
        except TimeoutError:
            return operation_pb2.Result(status=operation_pb2.StatusResult(version="late"))
        raise AssertionError

    async with local_hive(tmp_path, execute) as hive:
        assert (await hive.run(OPERATION)).status.version == "late"
        task = asyncio.current_task()
        assert task is not None
        assert task.cancelling() == 0


@pytest.mark.parametrize("deep", [False, True])
async def test_what_the_work_raises_is_raised(tmp_path: Path, *, deep: bool) -> None:
    async def fail() -> None:
        await asyncio.sleep(0)
        raise UnavailableError("gone", reason="GONE")

    async def execute(_: operation_pb2.Operation) -> operation_pb2.Result:
        if not deep:
            await fail()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(fail())
        raise AssertionError

    async with local_hive(tmp_path, execute) as hive:
        with pytest.raises(UnavailableError, match="gone"):
            await hive.run(OPERATION)
