"""Which hive does a request: a pure function of the fleet and the request, with its reasons.

Filters first (the hive asked for, its state, the device), then a score: a worker that serves the
model, the model on disk, a short queue. The choice comes with every candidate and why.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from rbee_queen.fleet import HiveState, HiveView, WorkerView
from rbee_shared.errors import (
    DeviceNotFoundError,
    HiveNotFoundError,
    UnavailableError,
    WorkerNotFoundError,
)

WARM = 100.0
MODEL_PRESENT = 50.0
QUEUED = -10.0  # for each request that waits or runs


@dataclass(frozen=True, slots=True)
class Request:
    """What is to be placed; empty means that the user does not care."""

    model: str
    hive: str = ""
    device: str = ""
    worker_id: str = ""


@dataclass(frozen=True, slots=True)
class Candidate:
    """One hive that was looked at. `refusal` is empty where it could do it."""

    hive: str
    worker_id: str
    device: str
    reason: str
    scores: tuple[tuple[str, float], ...] = ()
    refused: bool = False

    @property
    def points(self) -> float:
        """The sum of its scores."""
        return sum(points for _, points in self.scores)


def place(request: Request, hives: Sequence[HiveView]) -> list[Candidate]:
    """Return all candidates, best first; the first one is the choice.

    Raises:
        HiveNotFoundError: the hive asked for is not known.
        DeviceNotFoundError: no hive has the device asked for.
        WorkerNotFoundError: no hive has the worker asked for.
        UnavailableError: no hive can do it now.
    """
    if request.hive and request.hive not in {hive.name for hive in hives}:
        raise HiveNotFoundError(request.hive)
    candidates = [_look(request, hive) for hive in hives]
    candidates.sort(key=lambda each: (each.refused, -each.points, each.hive))
    if not candidates or candidates[0].refused:
        raise _why_none(request, hives, candidates)
    return candidates


def _look(request: Request, hive: HiveView) -> Candidate:
    if refusal := _refusal(request, hive):
        return Candidate(hive.name, "", "", refusal, refused=True)
    worker = _best_worker(request, hive)
    if worker is not None:
        scores = (("warm", WARM), ("queue", QUEUED * worker.queue_length))
        return Candidate(
            hive.name, worker.id, worker.device, f"`{worker.id}` serves the model", scores
        )
    if request.model in hive.models:
        scores = (("model_present", MODEL_PRESENT),)
        return Candidate(hive.name, "", request.device, "has the model; spawns a worker", scores)
    return Candidate(hive.name, "", request.device, "pulls the model and spawns a worker")


def _refusal(request: Request, hive: HiveView) -> str:
    if request.hive and hive.name != request.hive:
        return "another hive was asked for"
    if hive.state != HiveState.ACTIVE:
        return f"it is {hive.state.name.lower()}"
    if request.device and _full(request.device) not in hive.devices:
        return f"it has no device `{request.device}`"
    if request.worker_id and request.worker_id not in {worker.id for worker in hive.workers}:
        return f"it has no worker `{request.worker_id}`"
    return ""


def _best_worker(request: Request, hive: HiveView) -> WorkerView | None:
    able = [
        worker
        for worker in hive.workers
        if worker.serving
        and request.model in (worker.model, worker.alias)
        and request.worker_id in ("", worker.id)
        and (not request.device or worker.device == _full(request.device))
    ]
    return min(able, key=lambda worker: worker.queue_length, default=None)


def _full(device: str) -> str:
    return device if ":" in device else f"{device}:0"


def _why_none(
    request: Request, hives: Sequence[HiveView], candidates: Sequence[Candidate]
) -> Exception:
    alive = [hive for hive in hives if hive.state == HiveState.ACTIVE]
    asked = [hive for hive in alive if request.hive in ("", hive.name)]
    if asked and request.device and not any(_full(request.device) in h.devices for h in asked):
        return DeviceNotFoundError(request.device, request.hive or asked[0].name)
    if asked and request.worker_id:
        return WorkerNotFoundError(request.worker_id)
    reasons = "; ".join(f"`{each.hive}`: {each.reason}" for each in candidates)
    return UnavailableError(
        f"no hive can do it now ({reasons or 'there is none'})",
        reason="NO_HIVE",
        hint="`rbee hive list` shows the hives and their state",
    )
