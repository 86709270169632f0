from rbee.v1 import device_pb2, hive_pb2, job_pb2, model_pb2, worker_pb2
from rbee_keeper.model_rows import model_row
from rbee_keeper.rows import device_row, hive_row, job_row, worker_row
from rbee_shared.contracts import wire


def test_a_worker_that_never_expires_has_no_keep_alive() -> None:
    worker = worker_pb2.Worker(id="w-1", state=worker_pb2.WORKER_STATE_READY)
    worker.load.tokens_per_second = 17.26
    row = worker_row(worker)
    assert (row["state"], row["keep_alive_s"], row["tokens_per_second"]) == ("ready", None, 17.3)
    worker.keep_alive.CopyFrom(wire.duration(90.5))
    assert worker_row(worker)["keep_alive_s"] == 90.5


def test_a_worker_is_told_by_how_busy_it_is() -> None:
    load = worker_pb2.WorkerLoad(
        running=3, waiting=2, slots=16, tokens_per_second=99.96, kv_cache_usage=0.1234
    )
    row = worker_row(worker_pb2.Worker(load=load))
    assert (row["running"], row["slots"], row["waiting"]) == (3, 16, 2)
    assert (row["tokens_per_second"], row["kv_cache_percent"]) == (100.0, 12.3)


def test_an_empty_message_is_a_row_too() -> None:
    assert worker_row(worker_pb2.Worker())["state"] == "unspecified"
    assert model_row(model_pb2.Model())["state"] == "unspecified"
    assert device_row("h", device_pb2.Device())["kind"] == "unspecified"
    assert hive_row(hive_pb2.Hive())["last_heartbeat_time"] is None
    row = job_row(job_pb2.Job())
    assert (row["kind"], row["model"], row["error"], row["start_time"]) == ("", "", None, None)


def test_a_state_of_a_newer_version_is_a_row_too() -> None:
    # an open enum: a newer queen may name states that this version does not know
    worker = worker_pb2.Worker(state=worker_pb2.WorkerState.ValueType(99))
    assert worker_row(worker)["state"] == "unknown (99)"
    hive = hive_pb2.Hive(state=hive_pb2.HiveState.ValueType(99))
    assert hive_row(hive)["state"] == "unknown (99)"
    job = job_pb2.Job(state=job_pb2.JobState.ValueType(99))
    assert job_row(job)["state"] == "unknown (99)"


def test_a_hive_is_told_by_what_it_has() -> None:
    hive = hive_pb2.Hive(name="attic", state=hive_pb2.HIVE_STATE_ACTIVE)
    hive.snapshot.devices.add(id="cpu:0")
    hive.snapshot.devices.add(id="cuda:0")
    hive.snapshot.workers.add(id="w-1")
    hive.last_heartbeat_time.CopyFrom(wire.timestamp(0.0))
    row = hive_row(hive)
    assert row["devices"] == ["cpu:0", "cuda:0"]
    assert (row["models"], row["workers"]) == (0, 1)
    assert row["last_heartbeat_time"] == "1970-01-01T00:00:00.000Z"


def test_what_is_imported_is_told_by_its_path() -> None:
    job = job_pb2.Job(id="j-1")
    job.operation.model_import.path = "/models/a.gguf"
    assert (job_row(job)["kind"], job_row(job)["model"]) == ("model_import", "/models/a.gguf")


def test_a_failed_job_says_why() -> None:
    job = job_pb2.Job(id="j-1", state=job_pb2.JOB_STATE_FAILED)
    job.operation.infer.model = "smollm2"
    job.error.reason, job.error.message = "NO_ROOM", "there is no room"
    row = job_row(job)
    assert (row["kind"], row["model"], row["state"]) == ("infer", "smollm2", "failed")
    assert row["error"] == {"reason": "NO_ROOM", "message": "there is no room", "hint": ""}
