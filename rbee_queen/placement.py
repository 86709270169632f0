"""Which hive does a request: a pure function of the fleet and the request, with its reasons.

Filters first (the hive asked for, its state, the device, the worker asked for), then a score: a
worker that serves the model, the model on disk, a short queue. The choice comes with every
candidate and why.
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
    asked = _worker_asked_for(request, hive)
    if asked is not None:  # whether it is ready, and for this model, its hive knows best
        return Candidate(hive.name, asked.id, asked.device, f"`{asked.id}` was asked for")
    worker = _best_worker(request, hive)
    if worker is not None:
        scores = [("warm", WARM)]
        if worker.queue_length:
            scores.append(("queue", QUEUED * worker.queue_length))
        reason = f"`{worker.id}` serves the model"
        return Candidate(hive.name, worker.id, worker.device, reason, tuple(scores))
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
    if request.worker_id:
        worker = _worker_asked_for(request, hive)
        if worker is None:
            return f"it has no worker `{request.worker_id}`"
        if request.device and worker.device != _full(request.device):
            return f"its worker `{worker.id}` runs on `{worker.device}`"
    return ""


def _worker_asked_for(request: Request, hive: HiveView) -> WorkerView | None:
    return next((worker for worker in hive.workers if worker.id == request.worker_id), None)


def _best_worker(request: Request, hive: HiveView) -> WorkerView | None:
    able = [
        worker
        for worker in hive.workers
        if worker.serving
        and request.model in (worker.model, worker.alias)
        and (not request.device or worker.device == _full(request.device))
    ]
    return min(able, key=lambda worker: (worker.queue_length, worker.id), default=None)


def _full(device: str) -> str:
    return device if ":" in device else f"{device}:0"


def _why_none(
    request: Request, hives: Sequence[HiveView], candidates: Sequence[Candidate]
) -> Exception:
    asked = [hive for hive in hives if request.hive in ("", hive.name)]
    alive = [hive for hive in asked if hive.state == HiveState.ACTIVE]
    if alive and request.device and not any(_full(request.device) in h.devices for h in alive):
        return DeviceNotFoundError(request.device, request.hive or alive[0].name)
    if alive and request.worker_id and not any(_worker_asked_for(request, h) for h in asked):
        return WorkerNotFoundError(request.worker_id)  # not on a hive that cannot be heard either
    reasons = "; ".join(f"`{each.hive}`: {each.reason}" for each in candidates)
    return UnavailableError(
        f"no hive can do it now ({reasons or 'there is none'})",
        reason="NO_HIVE",
        hint="`rbee hive list` shows the hives and their state",
    )
