import pytest

from rbee.v1 import hive_pb2, model_pb2, placement_pb2, worker_pb2
from rbee_queen import wire
from rbee_queen.fleet import HiveState, HiveView, WorkerView
from rbee_queen.placement import Candidate

SERVING = {worker_pb2.WORKER_STATE_READY, worker_pb2.WORKER_STATE_BUSY}


def test_a_workers_queue_is_what_runs_and_what_waits() -> None:
    worker = worker_pb2.Worker(
        id="w-1",
        model="pypi:tiny==1",
        alias="tiny",
        device="cpu:0",
        state=worker_pb2.WORKER_STATE_BUSY,
        load=worker_pb2.WorkerLoad(running=2, waiting=3, slots=8),
    )
    assert wire.worker_view(worker) == WorkerView(
        "w-1", "pypi:tiny==1", "tiny", "cpu:0", serving=True, queue_length=5
    )


@pytest.mark.parametrize("name", worker_pb2.WorkerState.keys())
def test_only_ready_and_busy_workers_serve(name: str) -> None:
    state = worker_pb2.WorkerState.Value(name)
    assert wire.worker_view(worker_pb2.Worker(state=state)).serving == (state in SERVING)


def test_a_model_answers_to_all_its_names() -> None:
    models = [
        model_pb2.Model(reference="pypi:tiny==1", alias="tiny"),
        model_pb2.Model(reference="file:/x.gguf"),
    ]
    snapshot = hive_pb2.HiveSnapshot(models=models)
    assert wire.names_of_models(snapshot) == {"pypi:tiny==1", "tiny", "file:/x.gguf"}
    assert wire.names_of_models(hive_pb2.HiveSnapshot()) == frozenset()


def test_the_states_of_hives_are_the_wires_own() -> None:
    ours = {f"HIVE_STATE_{state.name}": state.value for state in HiveState}
    theirs = dict(hive_pb2.HiveState.items())
    assert {"HIVE_STATE_UNSPECIFIED": 0, **ours} == theirs


def test_a_hive_goes_out_with_its_newest_snapshot() -> None:
    view = HiveView("attic", "unix:/x", 1.5, state=HiveState.ACTIVE, heard_s=2.5)
    snapshot = hive_pb2.HiveSnapshot(name="attic", sequence=7)
    hive = wire.hive_to_proto(view, snapshot)
    assert (hive.name, hive.address) == ("attic", "unix:/x")
    assert hive.state == hive_pb2.HIVE_STATE_ACTIVE
    assert hive.create_time.ToMilliseconds() == 1500
    assert hive.last_heartbeat_time.ToMilliseconds() == 2500
    assert hive.snapshot == snapshot


def test_a_hive_that_was_never_heard_says_so() -> None:
    hive = wire.hive_to_proto(HiveView("attic", "unix:/x", 1.5), None)
    assert hive.state == hive_pb2.HIVE_STATE_CONNECTING
    assert not hive.HasField("last_heartbeat_time")
    assert not hive.HasField("snapshot")


def test_a_placement_keeps_order_reasons_and_points() -> None:
    placement = wire.placement_to_proto(
        [
            Candidate("a", "w-1", "cpu:0", "warm", (("warm", 100.0), ("queue", -10.0))),
            Candidate("b", "", "cpu:0", "pulls"),
            Candidate("c", "", "", "it is lost", refused=True),
        ]
    )
    assert [(each.hive, each.verdict, each.reason) for each in placement.candidates] == [
        ("a", placement_pb2.PLACEMENT_VERDICT_CHOSEN, "warm"),
        ("b", placement_pb2.PLACEMENT_VERDICT_POSSIBLE, "pulls"),
        ("c", placement_pb2.PLACEMENT_VERDICT_REFUSED, "it is lost"),
    ]
    first = placement.candidates[0]
    assert (first.worker_id, first.device) == ("w-1", "cpu:0")
    assert [(each.name, each.points) for each in first.scores] == [("warm", 100), ("queue", -10)]
