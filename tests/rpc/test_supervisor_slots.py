"""Slots from admission to the process: how many, why, and who gets the next request."""

from dataclasses import replace
from pathlib import Path

import pytest

from rbee_hive.workers.admission import GIB, Demand
from tests.rpc.hive_pool import Told, error_of, in_job, pooled, until


async def test_where_fewer_slots_fit_people_are_told_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with pooled(tmp_path, monkeypatch) as pool:
        told = Told()
        wanted = replace(pool.wanted(), demand=Demand(GIB, 1024, 512 * 1024, cores=1))
        worker = await in_job(pool.supervisor.spawn(wanted), told)
        assert told[0].human.endswith("on cpu:0 with 4 x 524288 tokens")
        assert told.of("worker_slots") == ["4 of 16 slots: 2.0 GiB can be KV cache, each takes 0.5"]
        assert (told[0].fields["slots"], told[0].fields["context"]) == (4, 524_288)
        assert "--slots 4" in " ".join(worker.spec.arguments())


async def test_slots_that_somebody_asked_for_need_no_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with pooled(tmp_path, monkeypatch) as pool:
        told = Told()
        wanted = replace(pool.wanted(), demand=Demand(0, 1024, 1024 * 1024, cores=1, slots=7))
        await in_job(pool.supervisor.spawn(wanted), told)
        assert told[0].fields["slots"] == 7
        assert told.of("worker_slots") == []
        larger = replace(wanted, demand=replace(wanted.demand, slots=9))
        assert "needs 9.0 GiB on `cpu:0`, " in str(await error_of(pool.supervisor.spawn(larger)))


async def test_a_worker_that_uses_one_slot_gives_the_memory_of_the_others_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with pooled(tmp_path, monkeypatch) as pool:
        worker = await pool.supervisor.spawn(pool.wanted())  # it says that it uses one
        await until(lambda: worker.load.token_count == 42)
        grant = worker.tenant().grant
        assert (grant.slots, grant.memory_bytes) == (1, 1_200 + 1_000)


async def test_a_request_goes_where_it_need_not_wait(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with pooled(tmp_path, monkeypatch) as pool:
        wanted = pool.wanted()
        narrow, wide = await pool.supervisor.spawn(wanted), await pool.supervisor.spawn(wanted)
        for each in (narrow, wide):
            await until(lambda each=each: each.load.token_count == 42)
        wide.spec = replace(wide.spec, grant=replace(wide.spec.grant, slots=4))
        with narrow.answering(), wide.answering(), wide.answering():
            assert narrow.is_full
            assert not wide.is_full
            assert await pool.supervisor.serving(wanted) is wide
            assert pool.supervisor.all() == [narrow, wide], "none more is spawned"
