"""Between the fleet's frozen values and wire messages."""

from collections.abc import Sequence

from rbee.v1 import hive_pb2, placement_pb2, worker_pb2
from rbee_queen.fleet import HiveView, WorkerView
from rbee_queen.placement import Candidate
from rbee_shared.contracts import wire

SERVING = (worker_pb2.WORKER_STATE_READY, worker_pb2.WORKER_STATE_BUSY)


def worker_view(worker: worker_pb2.Worker) -> WorkerView:
    """Return what placement needs of a worker."""
    return WorkerView(
        id=worker.id,
        model=worker.model,
        alias=worker.alias,
        device=worker.device,
        serving=worker.state in SERVING,
        queue_length=worker.load.running + worker.load.waiting,
    )


def names_of_models(snapshot: hive_pb2.HiveSnapshot) -> frozenset[str]:
    """Return all names that the models of a hive answer to."""
    names = {name for model in snapshot.models for name in (model.reference, model.alias)}
    return frozenset(names - {""})


def hive_to_proto(view: HiveView, snapshot: hive_pb2.HiveSnapshot | None) -> hive_pb2.Hive:
    """Return a hive for the wire, with its newest snapshot."""
    hive = hive_pb2.Hive(
        name=view.name,
        address=view.address,
        state=hive_pb2.HiveState.ValueType(view.state),
        create_time=wire.timestamp(view.create_time_s),
    )
    if view.heard_s:
        hive.last_heartbeat_time.CopyFrom(wire.timestamp(view.heard_s))
    if snapshot is not None:
        hive.snapshot.CopyFrom(snapshot)
    return hive


def placement_to_proto(candidates: Sequence[Candidate]) -> placement_pb2.Placement:
    """Return the candidates, best first; the first one is the choice."""
    return placement_pb2.Placement(
        candidates=[
            placement_pb2.PlacementCandidate(
                hive=each.hive,
                worker_id=each.worker_id,
                device=each.device,
                verdict=_verdict(each, is_first=index == 0),
                reason=each.reason,
                scores=[
                    placement_pb2.PlacementScore(name=name, points=points)
                    for name, points in each.scores
                ],
            )
            for index, each in enumerate(candidates)
        ]
    )


def _verdict(candidate: Candidate, *, is_first: bool) -> placement_pb2.PlacementVerdict.ValueType:
    if candidate.refused:
        return placement_pb2.PLACEMENT_VERDICT_REFUSED
    if is_first:
        return placement_pb2.PLACEMENT_VERDICT_CHOSEN
    return placement_pb2.PLACEMENT_VERDICT_POSSIBLE
