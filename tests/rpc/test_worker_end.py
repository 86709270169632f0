"""Answers cut short by the end of a worker: of itself or stopped, in whatever order it is seen."""

import asyncio
from pathlib import Path
from typing import Any

import psutil
import pytest

from rbee.v1 import error_pb2, job_pb2
from rbee_hive import asking
from rbee_hive.workers import worker as worker_module
from rbee_hive.workers.states import WorkerState
from rbee_hive.workers.worker import Worker, WorkerDiedError, WorkerStoppedError
from rbee_shared.errors import RbeeError, UnavailableError
from tests.rpc.hive_house import House, housed, played
from tests.rpc.hive_pool import Told, error_of, fifo, in_job, until
from tests.rpc.standin_worker import DIE, HANG, done, said

READY, BUSY = WorkerState.READY, WorkerState.BUSY


async def begun(house: House, prompt: str = HANG, **fields: Any) -> asyncio.Task[RbeeError]:
    """Ask for an answer that has no end and wait for its first token."""
    told = Told()
    task = in_job(error_of(house.infer(prompt, **fields)), told)
    await until(lambda: bool(told.of("completion")) or task.done())
    return task


def kill(worker: Worker) -> None:
    psutil.Process(worker.pid).kill()


async def test_a_worker_killed_in_mid_answer_fails_it_and_the_next_gets_a_new_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with housed(tmp_path, monkeypatch) as house:
        answer = await begun(house)
        [worker] = house.hive.workers.all()
        assert (worker.state, worker.request_count) == (BUSY, 1)
        kill(worker)
        error = await answer
        assert isinstance(error, WorkerDiedError)
        assert str(error) == f"worker `{worker.spec.id}` died: {worker.spec.id} ended by SIGKILL"
        assert (worker.state, worker.error, worker.request_count) == (WorkerState.FAILED, error, 0)
        assert not worker.spec.socket.exists()
        assert (await house.infer("again")).worker_id != worker.spec.id


async def test_its_last_words_say_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with housed(tmp_path, monkeypatch) as house:
        worker = await house.spawn()
        error = await error_of(house.infer(DIE, worker_id=worker.spec.id))
        assert isinstance(error, WorkerDiedError)
        assert str(error).endswith("ended with code 3: out of memory")
        assert worker.lines()[-1] == "out of memory"


async def test_the_process_may_end_before_the_stream(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with played(tmp_path) as (services, address), housed(tmp_path, monkeypatch) as house:
        house.behave(address=address)
        services.says.put_nowait([said("begun")])
        answer = await begun(house)
        [worker] = house.hive.workers.all()
        kill(worker)  # its stream stays whole until the hive closes its own end
        assert isinstance(await answer, WorkerDiedError)
        assert await services.left.get() == HANG
        assert worker.request_count == 0


async def test_the_stream_may_end_before_the_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with played(tmp_path) as (services, address), housed(tmp_path, monkeypatch) as house:
        house.behave(address=address)
        services.says.put_nowait([said("begun")])
        answer = await begun(house)
        [worker] = house.hive.workers.all()
        services.says.put_nowait(None)
        await services.left.get()
        services.says.put_nowait(done())
        await house.infer("after it")  # on the same connection, so the break has been seen
        assert not answer.done()
        kill(worker)
        assert isinstance(await answer, WorkerDiedError)


async def test_a_stream_that_breaks_alone_is_no_death(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(asking, "DEATH_NOTICE_S", 0.01)
    async with played(tmp_path) as (services, address), housed(tmp_path, monkeypatch) as house:
        house.behave(address=address)
        worker = await house.spawn()
        for before in ([], [[said("begun")]]):  # not asked again either way: nobody died
            for each in (*before, None):
                services.says.put_nowait(each)
            error = await error_of(house.infer("x"))
            assert type(error) is UnavailableError
            assert str(error) == f"{worker.spec.id}: broken"
        assert (worker.state, worker.request_count) == (READY, 0)
        assert services.asked.qsize() == 2


async def test_a_worker_that_somebody_else_ends_has_died(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with played(tmp_path) as (services, address), housed(tmp_path, monkeypatch) as house:
        house.behave(address=address)
        services.says.put_nowait([said("begun")])
        answer = await begun(house)
        [worker] = house.hive.workers.all()
        why = error_pb2.Error(code=1, reason="CANCELLED", message="the worker stops")
        end = job_pb2.JobStateChange(state=job_pb2.JOB_STATE_CANCELLED, error=why)
        services.says.put_nowait([job_pb2.JobEvent(state=end)])  # as a worker does on SIGTERM
        kill(worker)
        assert isinstance(await answer, WorkerDiedError)


async def test_an_error_of_the_worker_arrives_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with played(tmp_path) as (services, address), housed(tmp_path, monkeypatch) as house:
        house.behave(address=address)
        why = error_pb2.Error(code=8, reason="QUEUE_FULL", message="no", hint="later")
        end = job_pb2.JobStateChange(state=job_pb2.JOB_STATE_FAILED, error=why)
        services.says.put_nowait([job_pb2.JobEvent(state=end)])
        error = await error_of(house.infer("x"))
        assert (error.code, error.reason, error.hint) == (8, "QUEUE_FULL", "later")
        [worker] = house.hive.workers.all()
        assert (worker.state, worker.request_count) == (READY, 0)


async def test_a_worker_that_dies_before_it_takes_the_request_is_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with played(tmp_path) as (services, address), housed(tmp_path, monkeypatch) as house:
        house.behave(address=address)
        worker = await house.spawn()
        told = Told()
        answer = in_job(house.infer("hello"), told)
        await services.asked.get()  # and it has not said a word about it
        house.behave()
        kill(worker)
        assert (await answer).worker_id != worker.spec.id
        why = f"worker `{worker.spec.id}` died: {worker.spec.id} ended by SIGKILL"
        assert told.of("infer_retry") == [f"asking another worker: {why}"]
        assert told.of("completion") == ["hello"]


async def test_who_names_a_worker_gets_it_or_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with played(tmp_path) as (services, address), housed(tmp_path, monkeypatch) as house:
        house.behave(address=address)
        worker = await house.spawn()
        answer = asyncio.create_task(error_of(house.infer("x", worker_id=worker.spec.id)))
        await services.asked.get()
        kill(worker)
        assert isinstance(await answer, WorkerDiedError)
        assert house.hive.workers.all() == [worker]


async def test_a_request_is_not_tried_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with played(tmp_path) as (services, address), housed(tmp_path, monkeypatch) as house:
        house.behave(address=address)
        answer = asyncio.create_task(error_of(house.infer("x")))
        for _ in range(asking.ATTEMPTS_MAX):
            await services.asked.get()
            kill(await house.only())
        assert isinstance(await answer, WorkerDiedError)


async def test_a_worker_stopped_while_it_comes_is_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with housed(tmp_path, monkeypatch) as house:
        house.behave(starts_at=fifo(tmp_path, "never"))
        answer = asyncio.create_task(house.infer("hello"))
        worker = await house.only()
        assert worker.waiter_count == 1
        house.behave()
        await house.hive.workers.delete(worker.spec.id, force=True)
        assert (await answer).worker_id not in ("", worker.spec.id)


async def test_delete_lets_an_answer_end_and_gives_the_worker_nothing_new(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with played(tmp_path) as (services, address), housed(tmp_path, monkeypatch) as house:
        house.behave(address=address)
        worker = await house.spawn()
        answer = asyncio.create_task(house.infer("x"))
        await services.asked.get()
        leaving, deleting = (
            asyncio.create_task(house.hive.workers.delete(worker.spec.id, force=False))
            for _ in range(2)
        )
        await until(lambda: worker.state == WorkerState.DRAINING)
        leaving.cancel()
        house.behave()
        other = await house.infer("y")
        assert other.worker_id != worker.spec.id
        assert (worker.pid > 0, answer.done(), deleting.done()) == (True, False, False)
        services.says.put_nowait(done())
        assert (await answer).worker_id == worker.spec.id
        assert (await deleting).state == WorkerState.STOPPED
        assert [each.spec.id for each in house.hive.workers.all()] == [other.worker_id]


@pytest.mark.parametrize("drain_s", [0.01, 60])
async def test_an_answer_that_is_not_waited_for_any_longer_says_that_it_was_stopped(
    drain_s: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker_module, "DRAIN_S_MAX", drain_s)
    async with housed(tmp_path, monkeypatch) as house:
        answer = await begun(house)
        [worker] = house.hive.workers.all()
        await house.hive.workers.delete(worker.spec.id, force=drain_s == 60)
        error = await answer
        assert isinstance(error, WorkerStoppedError)
        assert (worker.state, worker.request_count, worker.error) == (WorkerState.STOPPED, 0, None)


async def test_force_ends_a_drain_that_somebody_waits_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with housed(tmp_path, monkeypatch) as house:
        answer = await begun(house)
        [worker] = house.hive.workers.all()
        draining = asyncio.create_task(house.hive.workers.delete(worker.spec.id, force=False))
        await until(lambda: worker.state == WorkerState.DRAINING)
        await house.hive.workers.delete(worker.spec.id, force=True)
        assert (await draining) is worker
        assert isinstance(await answer, WorkerStoppedError)


async def test_who_leaves_in_mid_answer_stops_the_work_and_keeps_the_worker(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with played(tmp_path) as (services, address), housed(tmp_path, monkeypatch) as house:
        house.behave(address=address)
        services.says.put_nowait([said("begun")])
        answer = await begun(house)
        [worker] = house.hive.workers.all()
        answer.cancel()
        await asyncio.wait([answer])
        assert await services.left.get() == HANG
        assert (worker.state, worker.request_count) == (READY, 0)


async def test_a_worker_that_serves_no_more_and_does_not_end_is_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker_module, "UNREACHABLE_S", 0.01)
    async with housed(tmp_path, monkeypatch) as house:
        async with played(tmp_path) as (_, address):
            house.behave(address=address)
            worker = await house.spawn()
            process = psutil.Process(worker.pid)
        await worker.ended()
        assert isinstance(worker.error, WorkerDiedError)
        assert (worker.state, process.is_running()) == (WorkerState.FAILED, False)
