"""How jobs end that a killed queen left behind."""

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path
from time import time

import pytest

from rbee.v1 import job_pb2, job_service_pb2 as pb, operation_pb2
from rbee_queen import recovery
from rbee_shared.contracts import wire
from rbee_shared.errors import JobCancelledError
from tests.journals import crashed, humans, infer, text_of, until
from tests.queens import Resumed, queen, states, work, work_on_a_hive

CANCELLED, FAILED = job_pb2.JOB_STATE_CANCELLED, job_pb2.JOB_STATE_FAILED
COMPLETED = job_pb2.JOB_STATE_COMPLETED


async def test_a_job_that_nobody_can_go_on_with_fails_and_says_why(tmp_path: Path) -> None:
    async def here_or_there(operation: operation_pb2.Operation) -> operation_pb2.Result:
        there = operation.HasField("infer")
        return await (work_on_a_hive(operation) if there else work(operation))

    detach = job_pb2.ON_DISCONNECT_DETACH
    async with queen(tmp_path / "1", here_or_there) as first:
        await first.begin("here")
        await first.begin("private", infer(), on_disconnect=detach, private=True)
        copy = crashed(tmp_path / "1", tmp_path / "2")
    async with queen(copy) as second:
        for job_id in ("here", "private"):
            end = (await second.watch(job_id))[-1].state
            assert (end.state, end.error.reason) == (FAILED, "QUEEN_RESTARTED")
            assert (await second.get(job_id)).error == end.error
        private = await second.watch("private")
        assert text_of(private) == ""
        assert "the text of the answer is not kept any more" in humans(private)
        await second.held.settled()
        copy = crashed(copy, tmp_path / "3")
    async with queen(copy) as third:
        for job_id in ("here", "private"):
            assert states(await third.watch(job_id))[-1] == FAILED


async def test_a_foreground_job_without_its_client_ends_with_its_lease(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with queen(tmp_path / "1", work_on_a_hive) as first:
        _kept = await first.begin("j-1", infer())
        copy = crashed(tmp_path / "1", tmp_path / "2")
    monkeypatch.setattr(recovery, "HIVE_LEASE_S", 0.05)
    async with queen(copy, resume=Resumed().resume) as second:
        log = second.runner.registry.get("j-1").log
        events = [event async for batch in log.follow(0, lambda: 0.0) for event in batch]
        assert events[-1].state.state == CANCELLED
        assert events[-1].state.error.message == "nobody watched the job for 0.05 s"


async def test_a_foreground_job_lives_with_its_client_and_no_longer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with queen(tmp_path / "1", work_on_a_hive) as first:
        _kept = await first.begin("j-1", infer())
        copy = crashed(tmp_path / "1", tmp_path / "2")
    monkeypatch.setattr(recovery, "HIVE_LEASE_S", 0.1)
    async with queen(copy, resume=Resumed().resume) as second:
        call = second.jobs.WatchJob(pb.WatchJobRequest(job_id="j-1"))
        await anext(aiter(call))
        over = asyncio.Event()
        asyncio.get_running_loop().call_later(0.2, over.set)
        await over.wait()
        entry = second.runner.registry.get("j-1")
        assert not entry.cancel_reason
        call.cancel()
        await until(lambda: entry.ended)
        assert entry.cancel_reason == "nobody watched the job"  # the lease was for the restart


async def test_a_detached_job_needs_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recovery, "HIVE_LEASE_S", 0.0)
    resumed = Resumed()
    async with queen(tmp_path / "1", work_on_a_hive) as first:
        await first.begin("free")
        await first.begin("leased", lease=wire.duration(0.05))
        copy = crashed(tmp_path / "1", tmp_path / "2")
    async with queen(copy, resume=resumed.resume) as second:
        leased, free = (second.runner.registry.get(each) for each in ("leased", "free"))
        await until(lambda: leased.ended)
        assert isinstance(leased.error, JobCancelledError)
        resumed.go_on.set()
        assert states(await second.watch("free"))[-1] == COMPLETED
        assert free.error is None


async def test_a_deadline_holds_over_the_restart(tmp_path: Path) -> None:
    async with queen(tmp_path / "1", work_on_a_hive) as first:
        await first.begin("soon", timeout=wire.duration(0.5))
        await first.begin("later", timeout=wire.duration(60.0))
        await first.begin("passed", timeout=wire.duration(60.0))
        deadlines = [(await first.get(each)).deadline_time for each in ("soon", "later")]
        copy = crashed(tmp_path / "1", tmp_path / "2")
    with closing(sqlite3.connect(copy)) as other, other:
        (data,) = other.execute("SELECT job FROM jobs WHERE id = 'passed'").fetchone()
        job = job_pb2.Job.FromString(data)
        job.deadline_time.CopyFrom(wire.timestamp(time() - 3_600.0))
        other.execute("UPDATE jobs SET job = ? WHERE id = 'passed'", (job.SerializeToString(),))
    async with queen(copy, resume=Resumed().resume) as second:
        assert [(await second.get(each)).deadline_time for each in ("soon", "later")] == deadlines
        for job_id in ("passed", "soon"):
            end = (await second.watch(job_id))[-1].state
            assert (end.state, end.error.reason) == (FAILED, "DEADLINE_EXCEEDED")
        assert (await second.get("later")).state == job_pb2.JOB_STATE_RUNNING


async def test_a_running_job_whose_story_is_damaged_fails_alone(tmp_path: Path) -> None:
    resumed = Resumed()
    async with queen(tmp_path / "1", work_on_a_hive) as first:
        await first.begin("damaged")
        await first.begin("whole")
        copy = crashed(tmp_path / "1", tmp_path / "2")
    with closing(sqlite3.connect(copy)) as other, other:
        other.execute("UPDATE events SET event = x'ffff' WHERE number = 1 AND sequence = 2")
    async with queen(copy, resume=resumed.resume) as second:
        job = await second.get("damaged")
        assert (job.state, job.error.reason) == (FAILED, "JOURNAL_UNREADABLE")
        resumed.go_on.set()
        assert states(await second.watch("whole"))[-1] == COMPLETED
