"""Devices, workers and what a machine is checked for as wire messages."""

from rbee.v1 import device_pb2, operation_pb2, worker_pb2
from rbee_hive.devices import CUDA, Device
from rbee_hive.workers.worker import Worker
from rbee_shared.contracts import wire
from rbee_shared.doctor import MachineCheck


def device_to_proto(device: Device) -> device_pb2.Device:
    """Return a device for the wire."""
    kind = device_pb2.DEVICE_KIND_CUDA if device.kind == CUDA else device_pb2.DEVICE_KIND_CPU
    return device_pb2.Device(
        id=device.id,
        kind=kind,
        name=device.name,
        memory_bytes=device.memory_bytes,
        free_memory_bytes=device.free_memory_bytes,
        cores=device.cores,
        compute_capability=device.compute_capability,
    )


def check_to_proto(check: MachineCheck, hive: str) -> operation_pb2.Check:
    """Return what was found on a hive's machine for the wire."""
    return operation_pb2.Check(
        name=check.name, passed=check.passed, detail=check.detail, hint=check.hint, hive=hive
    )


def worker_to_proto(worker: Worker, hive: str) -> worker_pb2.Worker:
    """Return a worker as it is now for the wire."""
    spec = worker.spec
    message = worker_pb2.Worker(
        id=spec.id,
        hive=hive,
        model=spec.model,
        alias=spec.alias,
        device=spec.grant.device,
        state=worker_pb2.WorkerState.ValueType(worker.state),
        pid=worker.pid,
        cores=spec.grant.cores,
        reserved_memory_bytes=spec.grant.memory_bytes,
        resident_memory_bytes=worker.resident_bytes,
        context_length=spec.context_length,
        load=worker.load,
        create_time=wire.timestamp(worker.create_time_s),
    )
    if worker.last_used_s:
        message.last_used_time.CopyFrom(wire.timestamp(worker.last_used_s))
    if spec.keep_alive_s >= 0:
        message.keep_alive.CopyFrom(wire.duration(spec.keep_alive_s))
    if worker.error is not None:
        message.error.CopyFrom(wire.error_to_proto(worker.error))
    return message
