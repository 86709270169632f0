"""A hive behind its services: every operation as a job."""

from pathlib import Path

import psutil
import pytest
from google.protobuf.duration_pb2 import Duration

from rbee.v1 import device_pb2, operation_pb2 as pb, worker_pb2
from rbee_hive.operations import execute
from rbee_shared.contracts import wire
from rbee_shared.errors import InvalidArgumentError
from rbee_shared.settings import Settings
from tests.rpc.hive_house import CONTEXT_LENGTH, housed, served
from tests.rpc.hive_pool import CORES, Told, error_of, in_job


async def test_an_answer_is_a_job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with served(tmp_path, monkeypatch) as hive:
        told = Told()
        asked = hive.house.asks(prompt="hello")
        result = await in_job(hive.run(pb.Operation(infer=asked)), told)
        [worker] = await hive.workers()
        assert (result.infer.worker_id, result.infer.hive) == (worker.id, "attic")
        actions = ["worker_spawn", "load", "worker_ready", "infer_start", "completion"]
        assert [each.action for each in told] == actions
        assert worker.HasField("last_used_time")
        assert not worker.HasField("keep_alive"), "the setting is for ever"
        assert (worker.cores, worker.context_length) == (CORES, CONTEXT_LENGTH)


async def test_models_are_downloaded_listed_shown_and_deleted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with served(tmp_path, monkeypatch) as hive:
        asked = pb.ModelDownloadOperation(model=hive.model)
        result = await hive.run(pb.Operation(model_download=asked))
        assert result.model_download.was_present
        assert result.model_download.model.hive == "attic"
        asked.rate_bytes_max = -1
        error = await hive.refused(pb.Operation(model_download=asked))
        assert error.reason == "RATE_MALFORMED"
        listed = (await hive.run(pb.Operation(model_list=pb.ModelListOperation()))).model_list
        assert [each.reference for each in listed.models] == [hive.model]
        got = await hive.run(pb.Operation(model_get=pb.ModelGetOperation(model=hive.model)))
        assert len(got.model_get.model.files) == 3
        workers = [await hive.spawn(cores=1), await hive.spawn(cores=1)]
        delete = pb.ModelDeleteOperation(model=hive.model)
        error = await hive.refused(pb.Operation(model_delete=delete))
        assert error.reason == "MODEL_IN_USE"
        assert all(f"`{each.id}`" in str(error) for each in workers)
        delete.force = True
        deleted = (await hive.run(pb.Operation(model_delete=delete))).model_delete
        assert (deleted.reference, deleted.freed_bytes > 0) == (hive.model, True)
        assert await hive.workers() == []
        error = await hive.refused(pb.Operation(model_delete=delete))
        assert error.reason == "MODEL_NOT_FOUND"


async def test_a_damaged_model_is_a_fault_in_the_list(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with served(tmp_path, monkeypatch) as hive:
        (hive.house.model.folder / "tokenizer.json").unlink()
        listed = (await hive.run(pb.Operation(model_list=pb.ModelListOperation()))).model_list
        assert list(listed.models) == []
        [fault] = listed.faults
        assert (fault.reference, fault.path) == (hive.model, "tokenizer.json")
        assert "is gone" in fault.message


async def test_workers_are_spawned_shown_and_deleted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with served(tmp_path, monkeypatch, Settings(hive_keep_alive_s=90)) as hive:
        worker = await hive.spawn(cores=2, context_length=64)
        assert (worker.state, worker.hive) == (worker_pb2.WORKER_STATE_READY, "attic")
        assert (worker.cores, worker.context_length) == (2, 64)
        assert wire.seconds(worker.keep_alive) == 90
        other = await hive.spawn(cores=1, keep_alive=Duration(seconds=5))
        assert wire.seconds(other.keep_alive) == 5
        by_id = pb.WorkerGetOperation(worker_id=worker.id)
        got = (await hive.run(pb.Operation(worker_get=by_id))).worker_get.worker
        assert (got.id, got.pid) == (worker.id, worker.pid)
        assert [each.id for each in await hive.workers()] == [worker.id, other.id]
        for count, lines in ((0, 1), (1, 1), (5, 1)):
            asked = pb.WorkerLogsOperation(worker_id=worker.id, line_count_max=count)
            logs = (await hive.run(pb.Operation(worker_logs=asked))).worker_logs
            assert list(logs.lines) == ["[worker    ] load           : loading"] * lines
        delete = pb.WorkerDeleteOperation(worker_id=worker.id)
        deleted = (await hive.run(pb.Operation(worker_delete=delete))).worker_delete.worker
        assert (deleted.id, deleted.pid) == (worker.id, 0)
        assert deleted.state == worker_pb2.WORKER_STATE_STOPPED
        assert [each.id for each in await hive.workers()] == [other.id]
        error = await hive.refused(pb.Operation(worker_delete=delete))
        assert error.reason == "WORKER_NOT_FOUND"


async def test_devices_and_the_self_check(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with served(tmp_path, monkeypatch) as hive:
        listed = await hive.run(pb.Operation(device_list=pb.DeviceListOperation()))
        [mine] = listed.device_list.hives
        assert mine.hive == "attic"
        kinds = [device_pb2.DEVICE_KIND_CPU, device_pb2.DEVICE_KIND_CUDA]
        assert [each.kind for each in mine.devices] == kinds
        checked = await hive.run(pb.Operation(self_check=pb.SelfCheckOperation()))
        assert checked.self_check.checks


@pytest.mark.parametrize(
    ("operation", "reason"),
    [
        (pb.Operation(hive_drain=pb.HiveDrainOperation()), "UNIMPLEMENTED"),
        (pb.Operation(status=pb.StatusOperation()), "UNIMPLEMENTED"),
        (
            pb.Operation(worker_logs=pb.WorkerLogsOperation(worker_id="w-0", line_count_max=-1)),
            "LINE_COUNT_MALFORMED",
        ),
        (
            pb.Operation(worker_spawn=pb.WorkerSpawnOperation(model="x", cores=-1)),
            "DEMAND_MALFORMED",
        ),
        (
            pb.Operation(worker_spawn=pb.WorkerSpawnOperation(model="x", context_length=-1)),
            "DEMAND_MALFORMED",
        ),
        (
            pb.Operation(worker_spawn=pb.WorkerSpawnOperation(model="x", slots=1_000)),
            "DEMAND_MALFORMED",
        ),
        (pb.Operation(worker_get=pb.WorkerGetOperation(worker_id="w-0")), "WORKER_NOT_FOUND"),
    ],
)
async def test_what_cannot_be_done_is_refused_and_counts_no_longer(
    operation: pb.Operation, reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with served(tmp_path, monkeypatch) as hive:
        assert (await hive.refused(operation)).reason == reason
        assert (await hive.house.hive.snapshot()).running_job_count == 0


async def test_a_context_that_the_model_has_not_is_refused_with_both_numbers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with served(tmp_path, monkeypatch) as hive:
        asked = pb.WorkerSpawnOperation(model=hive.model, context_length=CONTEXT_LENGTH + 1)
        error = await hive.refused(pb.Operation(worker_spawn=asked))
        assert (error.reason, str(error)) == (
            "CONTEXT_TOO_LONG",
            "a context of 2049 tokens; the model has 2048",
        )
        assert error.hint


async def test_an_operation_of_no_kind_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with housed(tmp_path, monkeypatch) as house:
        error = await error_of(execute(house.hive, pb.Operation()))
        assert isinstance(error, InvalidArgumentError)
        assert error.reason == "OPERATION_MISSING"


async def test_a_workers_slots_are_the_ones_asked_for_else_those_of_the_setting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with served(tmp_path, monkeypatch, Settings(hive_slots=3)) as hive:
        asked = await hive.spawn(cores=1, slots=2)
        by_setting = await hive.spawn(cores=1)
        command = {each.id: psutil.Process(each.pid).cmdline() for each in (asked, by_setting)}
        slots = [command[each.id][-3] for each in (asked, by_setting)]
        assert slots == ["2", "3"]
