from dataclasses import replace
from pathlib import Path

import pytest

from rbee.v1 import device_pb2, worker_pb2
from rbee_hive.devices import Device
from rbee_hive.wire import device_to_proto, worker_to_proto
from rbee_hive.workers.admission import Grant, Tenant
from rbee_hive.workers.spec import Spec
from rbee_hive.workers.states import WorkerState
from rbee_hive.workers.worker import Worker, WorkerDiedError
from rbee_shared.contracts import wire
from rbee_shared.errors import ModelNotFoundError

SPEC = Spec(
    id="w-3f9a2c",
    model="file:/m",
    alias="tiny",
    folder=Path("/models/m"),
    socket=Path("/run/worker-w-3f9a2c.sock"),
    grant=Grant("cpu:0", 2_000, 3, slots=4, slot_bytes=100),
    context_length=512,
    keep_alive_s=90.5,
)


def worker(spec: Spec = SPEC) -> Worker:
    return Worker(spec, lambda: None)


def test_a_processor_and_a_card() -> None:
    processor = Device("cpu:0", "cpu", "Xeon", 100, 40, cores=8)
    assert device_to_proto(processor) == device_pb2.Device(
        id="cpu:0",
        kind=device_pb2.DEVICE_KIND_CPU,
        name="Xeon",
        memory_bytes=100,
        free_memory_bytes=40,
        cores=8,
    )
    card = Device("cuda:1", "cuda", "H200", 100, 40, compute_capability="9.0")
    assert device_to_proto(card) == device_pb2.Device(
        id="cuda:1",
        kind=device_pb2.DEVICE_KIND_CUDA,
        name="H200",
        memory_bytes=100,
        free_memory_bytes=40,
        compute_capability="9.0",
    )


def test_a_worker_that_starts() -> None:
    mine = worker()
    message = worker_to_proto(mine, "attic")
    assert message == worker_pb2.Worker(
        id="w-3f9a2c",
        hive="attic",
        model="file:/m",
        alias="tiny",
        device="cpu:0",
        state=worker_pb2.WORKER_STATE_STARTING,
        cores=3,
        reserved_memory_bytes=2_000,
        context_length=512,
        load=worker_pb2.WorkerLoad(slots=4),
        create_time=wire.timestamp(mine.create_time_s),
        keep_alive=wire.duration(90.5),
    )
    assert message.pid == 0
    for name in ("last_used_time", "error"):
        assert not message.HasField(name)


@pytest.mark.parametrize("state", WorkerState)
def test_its_state_is_the_wires(state: WorkerState) -> None:
    mine = worker()
    mine.state = state
    name = worker_pb2.WorkerState.Name(worker_to_proto(mine, "attic").state)
    assert name == f"WORKER_STATE_{state.name}"


def test_what_it_does_and_when_it_was_used() -> None:
    mine = worker()
    mine.load.running, mine.load.token_count = 1, 700
    mine.resident_bytes, mine.last_used_s = 1_500, 1_700_000_000.5
    message = worker_to_proto(mine, "attic")
    assert (message.load.running, message.load.token_count) == (1, 700)
    assert message.resident_memory_bytes == 1_500
    assert wire.seconds(message.last_used_time) == 1_700_000_000.5
    mine.load.Clear()
    assert message.load.running == 1, "a message is a copy"


def test_keep_alive_is_unset_for_ever_and_zero_is_zero() -> None:
    for_ever = worker_to_proto(worker(replace(SPEC, keep_alive_s=-1.0)), "attic")
    assert not for_ever.HasField("keep_alive")
    at_once = worker_to_proto(worker(replace(SPEC, keep_alive_s=0.0)), "attic")
    assert at_once.HasField("keep_alive")
    assert wire.seconds(at_once.keep_alive) == 0


def test_admission_sees_as_idle_only_whom_nobody_waits_for() -> None:
    mine = worker()
    for state in WorkerState:
        mine.state = state
        assert mine.is_idle == (state == WorkerState.READY)
    mine.state, mine.resident_bytes, mine.waiter_count = WorkerState.READY, 1_500, 1
    assert mine.tenant() == Tenant("w-3f9a2c", SPEC.grant, 1_500, None)


def test_why_it_failed() -> None:
    mine = worker()
    mine.state = WorkerState.FAILED
    mine.error = WorkerDiedError("w-3f9a2c", ModelNotFoundError("tiny"))
    error = worker_to_proto(mine, "attic").error
    assert (error.code, error.reason) == (14, "WORKER_DIED")
    assert error.message == "worker `w-3f9a2c` died: no model `tiny` on this hive"
    assert error.hint == WorkerDiedError.hint
