"""Wire messages as rows that a table or a JSON document shows. Pure."""

from collections.abc import Callable
from typing import Any

from rbee.v1 import device_pb2, hive_pb2, job_pb2, worker_pb2
from rbee_shared.contracts import wire


def worker_row(worker: worker_pb2.Worker) -> dict[str, Any]:
    """Return a worker."""
    return {
        "id": worker.id,
        "hive": worker.hive,
        "model": worker.model,
        "alias": worker.alias,
        "device": worker.device,
        "state": enum_word(worker_pb2.WorkerState.Name, worker.state, "WORKER_STATE_"),
        "pid": worker.pid,
        "cores": worker.cores,
        "memory_bytes": worker.resident_memory_bytes,
        "reserved_memory_bytes": worker.reserved_memory_bytes,
        "context_length": worker.context_length,
        "slots": worker.load.slots,
        "running": worker.load.running,
        "waiting": worker.load.waiting,
        "tokens_per_second": round(worker.load.tokens_per_second, 1),
        "kv_cache_percent": round(100 * worker.load.kv_cache_usage, 1),
        "create_time": wire.iso(worker.create_time),
        "keep_alive_s": wire.seconds(worker.keep_alive) if worker.HasField("keep_alive") else None,
        "error": worker.error.message,
    }


def device_row(hive: str, device: device_pb2.Device) -> dict[str, Any]:
    """Return a device of a hive."""
    return {
        "hive": hive,
        "id": device.id,
        "kind": enum_word(device_pb2.DeviceKind.Name, device.kind, "DEVICE_KIND_"),
        "name": device.name,
        "cores": device.cores,
        "memory_bytes": device.memory_bytes,
        "free_memory_bytes": device.free_memory_bytes,
        "compute_capability": device.compute_capability,
    }


def hive_row(hive: hive_pb2.Hive) -> dict[str, Any]:
    """Return a hive."""
    snapshot = hive.snapshot
    heard = hive.HasField("last_heartbeat_time")
    return {
        "name": hive.name,
        "state": enum_word(hive_pb2.HiveState.Name, hive.state, "HIVE_STATE_"),
        "address": hive.address,
        "version": snapshot.version,
        "platform": snapshot.platform,
        "devices": [device.id for device in snapshot.devices],
        "models": len(snapshot.models),
        "workers": len(snapshot.workers),
        "free_disk_bytes": snapshot.free_disk_bytes,
        "last_heartbeat_time": wire.iso(hive.last_heartbeat_time) if heard else None,
    }


def job_row(job: job_pb2.Job) -> dict[str, Any]:
    """Return a job."""
    kind = job.operation.WhichOneof("kind") or ""
    asked = getattr(job.operation, kind) if kind else None
    error = job.error
    row: dict[str, Any] = {
        "id": job.id,
        "kind": kind,
        "state": enum_word(job_pb2.JobState.Name, job.state, "JOB_STATE_"),
        "model": getattr(asked, "model", "") or getattr(asked, "path", ""),
        "hive": job.hive,
        "priority": enum_word(
            job_pb2.Priority.Name, job.priority or job_pb2.PRIORITY_INTERACTIVE, "PRIORITY_"
        ),
        "create_time": wire.iso(job.create_time),
        "start_time": wire.iso(job.start_time) if job.HasField("start_time") else None,
        "end_time": wire.iso(job.end_time) if job.HasField("end_time") else None,
        "deadline_time": wire.iso(job.deadline_time) if job.HasField("deadline_time") else None,
        "events": job.last_sequence,
        "error": None,
    }
    if job.HasField("error"):
        row["error"] = {"reason": error.reason, "message": error.message, "hint": error.hint}
    return row


def enum_word(name_of: Callable[[Any], str], value: int, prefix: str) -> str:
    """Return the name of an enum's value, without what all its names begin with."""
    try:
        return name_of(value).removeprefix(prefix).lower()
    except ValueError:  # a newer queen may name what this version does not know
        return f"unknown ({value})"
