"""How workers end without being deleted: idle for too long, with their hive, by a bug."""

import asyncio
from pathlib import Path

import psutil
import pytest

from rbee_hive.workers.states import WorkerState
from rbee_hive.workers.supervisor import supervising
from rbee_hive.workers.worker import WorkerStoppedError
from rbee_shared.errors import UnavailableError
from tests.rpc.hive_pool import Pool, error_of, fifo, open_fifo, pooled, until

BUSY, STOPPED = WorkerState.BUSY, WorkerState.STOPPED


async def test_an_idle_worker_expires_and_is_forgotten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with pooled(tmp_path, monkeypatch) as pool:
        worker = await pool.supervisor.serving(pool.wanted(keep_alive_s=0))
        with worker.answering():  # who waited for it has it, however short its time
            await until(lambda: worker.load.token_count == 42)
            assert worker.state == BUSY
        await worker.ended()
        assert (worker.state, worker.error) == (STOPPED, None)
        await until(lambda: pool.supervisor.all() == [])
        assert pool.sockets() == []


async def test_all_are_stopped_side_by_side_at_the_end_of_the_block(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gates = [fifo(tmp_path, name) for name in ("one", "two")]
    async with pooled(tmp_path, monkeypatch) as pool:
        workers = [
            await pool.supervisor.spawn(pool.wanted(str(number), ends_at=gate))
            for number, gate in enumerate(gates)
        ]
        starting = pool.wanted("late", starts_at=fifo(tmp_path, "never"))
        late = asyncio.create_task(error_of(pool.supervisor.spawn(starting)))
        await until(lambda: sum(bool(each.pid) for each in pool.supervisor.all()) == 3)

        async def let_go() -> None:  # the last one first: one by one would wait for ever
            await until(lambda: all("stopping" in each.lines()[-1] for each in workers))
            for gate in reversed(gates):
                await open_fifo(gate)

        letting = asyncio.create_task(let_go())
    await letting
    assert isinstance(await late, WorkerStoppedError)
    assert [worker.state for worker in workers] == [STOPPED] * 2
    assert pool.sockets() == pool.supervisor.all() == []
    error = await error_of(pool.supervisor.serving(pool.wanted()))
    assert isinstance(error, UnavailableError)
    assert error.reason == "HIVE_STOPPING"


async def test_a_bug_ends_the_block_and_leaves_no_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bugs: list[Exception] = []

    def changed() -> None:
        if bugs:
            raise bugs.pop()

    processes: list[psutil.Process] = []

    async def block(pool: Pool) -> None:
        async with supervising(
            hive="attic", run=tmp_path, cores_max=0, changed=changed
        ) as supervisor:
            processes.extend(
                [psutil.Process((await supervisor.spawn(pool.wanted())).pid) for _ in range(2)]
            )
            bugs.append(ZeroDivisionError())
            processes[0].kill()
            await asyncio.Event().wait()

    async with pooled(tmp_path, monkeypatch) as pool:
        with pytest.raises(ExceptionGroup) as caught:
            await block(pool)
    assert caught.group_contains(ZeroDivisionError)
    assert [process.is_running() for process in processes] == [False, False]
