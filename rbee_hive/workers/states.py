"""The life of a worker as a pure state machine: events in, the next state out."""

import enum


class WorkerState(enum.IntEnum):
    """Where a worker is in its life; the numbers are the wire's."""

    STARTING = 1
    LOADING = 2
    READY = 3
    BUSY = 4
    DRAINING = 5
    STOPPED = 6
    FAILED = 7


class WorkerEvent(enum.Enum):
    """What happens to a worker."""

    SPOKE = "its process wrote something"
    BECAME_READY = "it takes requests"
    TOOK_WORK = "it works on a request"
    RAN_DRY = "it works on none any more"
    WAS_ASKED_TO_STOP = "it gets nothing new"
    ENDED = "its process ended"


_S, _E = WorkerState, WorkerEvent
_NEXT: dict[tuple[WorkerState, WorkerEvent], WorkerState] = {
    (_S.STARTING, _E.SPOKE): _S.LOADING,
    (_S.STARTING, _E.BECAME_READY): _S.READY,
    (_S.LOADING, _E.BECAME_READY): _S.READY,
    (_S.READY, _E.TOOK_WORK): _S.BUSY,
    (_S.BUSY, _E.RAN_DRY): _S.READY,
    (_S.STARTING, _E.WAS_ASKED_TO_STOP): _S.DRAINING,
    (_S.LOADING, _E.WAS_ASKED_TO_STOP): _S.DRAINING,
    (_S.READY, _E.WAS_ASKED_TO_STOP): _S.DRAINING,
    (_S.BUSY, _E.WAS_ASKED_TO_STOP): _S.DRAINING,
    (_S.STARTING, _E.ENDED): _S.FAILED,
    (_S.LOADING, _E.ENDED): _S.FAILED,
    (_S.READY, _E.ENDED): _S.FAILED,
    (_S.BUSY, _E.ENDED): _S.FAILED,
    (_S.DRAINING, _E.ENDED): _S.STOPPED,
}

COMING = frozenset({_S.STARTING, _S.LOADING})
SERVING = frozenset({_S.READY, _S.BUSY})
LIVING = COMING | SERVING | {_S.DRAINING}


def after(state: WorkerState, event: WorkerEvent) -> WorkerState:
    """Return the state that follows; an event that changes nothing leaves it as it is."""
    return _NEXT.get((state, event), state)
