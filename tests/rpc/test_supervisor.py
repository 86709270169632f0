"""Workers from spawn to stop: real processes, shared, told, stopped, evicted."""

import asyncio
import sys
from pathlib import Path

import psutil
import pytest

from rbee_hive.workers import supervisor as supervisor_module
from rbee_hive.workers.states import COMING, WorkerState
from rbee_hive.workers.worker import WorkerStoppedError
from rbee_shared.errors import (
    DeviceNotFoundError,
    FailedPreconditionError,
    ResourceExhaustedError,
    WorkerNotFoundError,
)
from tests.rpc.hive_pool import CORES, Told, error_of, fifo, in_job, open_fifo, pooled, until

READY, BUSY, DRAINING = WorkerState.READY, WorkerState.BUSY, WorkerState.DRAINING
STOPPED, FAILED = WorkerState.STOPPED, WorkerState.FAILED


async def test_a_worker_is_spawned_watched_and_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with pooled(tmp_path, monkeypatch) as pool:
        told = Told()
        worker = await in_job(pool.supervisor.spawn(pool.wanted(cores=2)), told)
        assert told[0].human == f"starting {worker.spec.id} for a on cpu:0 with 16 x 100 tokens"
        assert [each.action for each in told] == ["worker_spawn", "load", "worker_ready"]
        assert (worker.state, worker.spec.grant.cores) == (READY, 2)
        assert worker.lines() == ["[worker    ] load           : loading"]
        process = psutil.Process(worker.pid)
        assert process.cmdline()[-4:] == ["--slots", "16", "--context", "100"]
        assert process.environ()["OPENBLAS_NUM_THREADS"] == "1"
        assert pool.sockets() == [f"worker-{worker.spec.id}.sock"]
        await until(lambda: worker.load.token_count == 42)
        assert worker.tenant().resident_bytes == worker.resident_bytes == 4_096
        assert pool.supervisor.get(worker.spec.id) is worker
        assert await pool.supervisor.delete(worker.spec.id, force=False) is worker
        assert (worker.state, worker.pid, worker.error) == (STOPPED, 0, None)
        assert (worker.load.token_count, worker.resident_bytes) == (0, 0)
        assert not process.is_running()
        assert pool.sockets() == pool.supervisor.all() == []
        with pytest.raises(WorkerNotFoundError):
            await pool.supervisor.delete(worker.spec.id, force=False)


async def test_two_who_want_a_model_share_one_start_and_both_hear_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with pooled(tmp_path, monkeypatch) as pool:
        gate = fifo(tmp_path, "gate")
        told = Told(), Told()
        first = in_job(pool.supervisor.serving(pool.wanted(starts_at=gate)), told[0])
        worker = await pool.only()
        second = in_job(pool.supervisor.serving(pool.wanted(starts_at=gate)), told[1])
        await until(lambda: worker.waiter_count == 2)
        assert worker.state in COMING
        await open_fifo(gate)
        assert await first is await second is worker
        assert [len(each.of("worker_spawn")) for each in told] == [1, 0]
        for each in told:
            assert each.of("load") == ["loading"]
            assert f"{worker.spec.id} is ready" in each.of("worker_ready")[0]
        third = Told()
        assert await in_job(pool.supervisor.serving(pool.wanted()), third) is worker
        assert third == []


async def test_spawn_starts_one_more_and_requests_go_to_the_one_with_fewest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with pooled(tmp_path, monkeypatch) as pool:
        wanted = pool.wanted()
        older, newer = await pool.supervisor.spawn(wanted), await pool.supervisor.spawn(wanted)
        assert pool.supervisor.all() == pool.supervisor.users_of("file:/a") == [older, newer]
        assert await pool.supervisor.serving(wanted) is older
        with older.answering():
            assert older.state == BUSY
            assert await pool.supervisor.serving(wanted) is newer
        assert older.state == READY
        assert older.last_used_s > 0
        assert pool.supervisor.users_of("file:/b") == []


async def test_the_device_asked_for_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with pooled(tmp_path, monkeypatch) as pool:
        supervisor = pool.supervisor
        mine = await supervisor.serving(pool.wanted(device="cpu"))
        assert await supervisor.serving(pool.wanted(device="cpu:0")) is mine
        assert await supervisor.serving(pool.wanted()) is mine
        on_card = await supervisor.serving(pool.wanted(device="cuda"))
        assert (on_card.spec.grant.device, mine.spec.grant.device) == ("cuda:0", "cpu:0")
        error = await error_of(supervisor.serving(pool.wanted(device="cuda:1")))
        assert isinstance(error, DeviceNotFoundError)
        assert supervisor.all() == [mine, on_card]


async def test_a_start_that_fails_gives_its_words_to_all_who_wait_and_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with pooled(tmp_path, monkeypatch) as pool:
        gate = fifo(tmp_path, "gate")
        wanted = pool.wanted(starts_at=gate, fails="`a` is odd")
        waiting = [asyncio.create_task(error_of(pool.supervisor.serving(wanted)))]
        worker = await pool.only()
        waiting.append(asyncio.create_task(error_of(pool.supervisor.serving(wanted))))
        await until(lambda: worker.waiter_count == 2)
        await open_fifo(gate)
        error, same = [await each for each in waiting]
        assert error is same
        assert isinstance(error, FailedPreconditionError)
        assert (str(error), error.reason) == ("`a` is odd", "MODEL_ODD")
        assert error.hint == "take another"
        assert (worker.state, worker.error, worker.pid) == (FAILED, error, 0)
        assert pool.supervisor.all() == [worker]
        assert pool.sockets() == []
        good = await pool.supervisor.serving(pool.wanted())
        assert pool.supervisor.all() == [good], "its place is taken"


async def test_only_so_many_failed_workers_are_kept_and_one_can_be_deleted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervisor_module, "FAILED_KEPT_MAX", 1)
    async with pooled(tmp_path, monkeypatch) as pool:
        for model in ("a", "b", "c"):
            await error_of(pool.supervisor.spawn(pool.wanted(model, fails="odd")))
        assert [worker.spec.alias for worker in pool.supervisor.all()] == ["b", "c"]
        worker = pool.supervisor.all()[0]
        assert worker.lines() == ["[worker    ] load           : loading"]
        assert await pool.supervisor.delete(worker.spec.id, force=False) is worker
        assert worker.state == FAILED
        assert [worker.spec.alias for worker in pool.supervisor.all()] == ["c"]


async def test_a_process_that_cannot_be_made_fails_the_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with pooled(tmp_path, monkeypatch) as pool:
        monkeypatch.setattr(sys, "executable", str(tmp_path / "nothing"))
        error = await error_of(pool.supervisor.spawn(pool.wanted()))
        assert "cannot start a process: No such file" in str(error)
        assert pool.states() == [FAILED]


async def test_a_start_that_nobody_waits_for_any_more_is_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with pooled(tmp_path, monkeypatch) as pool:
        wanted = pool.wanted(starts_at=fifo(tmp_path, "gate"))
        waiting = asyncio.create_task(pool.supervisor.serving(wanted))
        worker = await pool.only()
        await until(lambda: worker.waiter_count == 1)
        waiting.cancel()
        await asyncio.wait([waiting])
        assert waiting.cancelled()
        assert worker.state == DRAINING, "nobody can choose it from here on"
        await worker.ended()
        assert (worker.state, worker.error, worker.pid) == (STOPPED, None, 0)
        await until(lambda: pool.supervisor.all() == [])


async def test_one_of_two_who_leaves_does_not_stop_the_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with pooled(tmp_path, monkeypatch) as pool:
        gate = fifo(tmp_path, "gate")
        wanted = pool.wanted(starts_at=gate)
        leaving, staying = (asyncio.create_task(pool.supervisor.serving(wanted)) for _ in range(2))
        worker = await pool.only()
        await until(lambda: worker.waiter_count == 2)
        leaving.cancel()
        await asyncio.wait([leaving])
        await open_fifo(gate)
        assert await staying is worker
        assert worker.state == READY


@pytest.mark.parametrize("force", [False, True])
async def test_a_worker_deleted_while_it_starts_is_stopped_not_failed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, force: bool
) -> None:
    async with pooled(tmp_path, monkeypatch) as pool:
        wanted = pool.wanted(starts_at=fifo(tmp_path, "gate"))
        waiting = asyncio.create_task(error_of(pool.supervisor.spawn(wanted)))
        await until(lambda: bool(pool.supervisor.all()))  # it may not have a process yet
        [worker] = pool.supervisor.all()
        await pool.supervisor.delete(worker.spec.id, force=force)
        assert (worker.state, worker.error, worker.pid) == (STOPPED, None, 0)
        error = await waiting
        assert isinstance(error, WorkerStoppedError)
        assert str(error) == f"worker `{worker.spec.id}` was stopped"
        assert pool.supervisor.all() == []


async def test_an_idle_worker_is_evicted_for_another_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with pooled(tmp_path, monkeypatch) as pool:
        old = await pool.supervisor.spawn(pool.wanted("old", cores=0))
        assert old.spec.grant.cores == CORES
        told = Told()
        new = await in_job(pool.supervisor.spawn(pool.wanted("new", cores=0)), told)
        assert told[0].human == f"stopping idle {old.spec.id} to make room"
        assert (old.state, old.pid, new.state) == (STOPPED, 0, READY)
        assert pool.supervisor.all() == [new]
        with new.answering():
            error = await error_of(pool.supervisor.spawn(pool.wanted("third", cores=0)))
            assert isinstance(error, ResourceExhaustedError)
            assert error.reason == "INSUFFICIENT_CORES"
        assert pool.supervisor.all() == [new]


async def test_the_place_of_a_worker_that_is_going_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with pooled(tmp_path, monkeypatch) as pool, asyncio.TaskGroup() as tasks:
        gate = fifo(tmp_path, "gate")
        old = await pool.supervisor.spawn(pool.wanted("old", cores=0, ends_at=gate))
        tasks.create_task(pool.supervisor.delete(old.spec.id, force=False))
        await until(lambda: old.state == DRAINING)
        spawning = tasks.create_task(pool.supervisor.spawn(pool.wanted("new", cores=0)))
        await open_fifo(gate)
        assert (await spawning).state == READY
        assert old.state == STOPPED


async def test_an_eviction_keeps_nobody_from_a_warm_worker_and_survives_its_caller(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with pooled(tmp_path, monkeypatch) as pool:
        gate = fifo(tmp_path, "gate")
        old = await pool.supervisor.spawn(pool.wanted("old", cores=3, ends_at=gate))
        warm = await pool.supervisor.spawn(pool.wanted("warm"))
        spawning = asyncio.create_task(pool.supervisor.spawn(pool.wanted("new", cores=3)))
        await until(lambda: old.state == DRAINING)
        with pytest.raises(WorkerStoppedError), old.answering():
            raise AssertionError
        assert await pool.supervisor.serving(pool.wanted("warm")) is warm
        spawning.cancel()
        await asyncio.wait([spawning])
        await open_fifo(gate)
        await old.ended()
        await until(lambda: pool.supervisor.all() == [warm])
