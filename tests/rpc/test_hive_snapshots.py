"""Snapshots of a hive: at once, on each change, and regularly."""

import asyncio
from importlib.metadata import version
from pathlib import Path

import pytest

from rbee.v1 import model_pb2, worker_pb2
from rbee_hive import hive as hive_module
from rbee_hive.changes import Changes
from rbee_hive.hive import Hive
from rbee_hive.models.store import opened_store
from rbee_hive.workers.supervisor import supervising
from rbee_shared.contracts import wire
from rbee_shared.paths import resolve
from rbee_shared.settings import Settings
from tests.rpc.hive_house import served, write_model
from tests.rpc.hive_pool import DEVICES, fifo, open_fifo
from tests.stores import tools


async def test_the_first_snapshot_is_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with served(tmp_path, monkeypatch) as hive:
        first = await anext(hive.watch())
        assert (first.name, first.version, first.sequence) == ("attic", version("rbee"), 1)
        assert "/" in first.platform
        assert [each.id for each in first.devices] == [each.id for each in DEVICES]
        assert [(each.reference, each.hive) for each in first.models] == [(hive.model, "attic")]
        assert first.models[0].files == []
        assert (list(first.workers), first.running_job_count) == ([], 0)
        assert first.free_disk_bytes > 0
        assert first.instance_id
        assert abs(wire.seconds(first.create_time) - hive.house.model.create_time_s) < 60


async def test_each_change_is_told_to_all_who_watch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hive_module, "SNAPSHOT_INTERVAL_S", 60)
    async with served(tmp_path, monkeypatch) as hive:
        gate = fifo(tmp_path, "gate")
        hive.house.behave(starts_at=gate)
        one, two, leaving = hive.watch(), hive.watch(), hive.watch()
        seen = [await anext(one), await anext(two), await anext(leaving)]
        await leaving.aclose()
        spawning = asyncio.create_task(hive.spawn())
        for watch in (one, two):
            async for snapshot in watch:
                seen.append(snapshot)
                if [each.state for each in snapshot.workers] == [worker_pb2.WORKER_STATE_LOADING]:
                    assert snapshot.running_job_count == 1
                    break
        await open_fifo(gate)
        worker = await spawning
        for watch in (one, two):
            async for snapshot in watch:
                seen.append(snapshot)
                if snapshot.workers[0].load.token_count and not snapshot.running_job_count:
                    assert snapshot.workers[0].id == worker.id
                    break
        assert len({each.instance_id for each in seen}) == 1
        assert len({each.sequence for each in seen}) == len(seen)
        await one.aclose()
        await two.aclose()


async def test_a_snapshot_comes_without_a_change_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("SNAPSHOT_INTERVAL_S", "SNAPSHOT_SPACING_S"):
        monkeypatch.setattr(hive_module, name, 0.01)
    async with served(tmp_path, monkeypatch) as hive:
        watch = hive.watch()
        assert [(await anext(watch)).sequence for _ in range(3)] == [1, 2, 3]
        await watch.aclose()


async def test_a_model_that_is_being_pulled_is_in_the_snapshot(tmp_path: Path) -> None:
    begun, go_on = asyncio.Event(), asyncio.Event()

    async def convert(gguf: Path, out: Path, *, weights: str) -> None:
        begun.set()
        await go_on.wait()
        await asyncio.to_thread(write_model, out)

    source = tmp_path / "tiny.gguf"
    source.write_bytes(b"GGUF" + bytes(4_096))
    paths = resolve({"RBEE_HOME": str(tmp_path / "home")}).create()
    changes = Changes()
    async with (
        asyncio.timeout(10),
        opened_store(paths.models, tools=tools(convert)) as models,
        supervising(hive="attic", run=paths.run, cores_max=0, changed=changes.ring) as workers,
    ):
        hive = Hive(
            "attic",
            paths=paths,
            settings=Settings(),
            models=models,
            workers=workers,
            changes=changes,
        )
        pulling = asyncio.create_task(models.pull(models.reference(f"file:{source}")))
        await begun.wait()
        [model] = (await hive.snapshot()).models
        assert (model.reference, model.hive) == (f"file:{source}", "attic")
        assert model.state == model_pb2.MODEL_STATE_PULLING
        go_on.set()
        await pulling
        [model] = (await hive.snapshot()).models
        assert model.state == model_pb2.MODEL_STATE_AVAILABLE
