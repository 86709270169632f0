import pytest

from rbee.v1 import worker_pb2
from rbee_hive.workers.states import COMING, LIVING, SERVING, WorkerEvent, WorkerState, after

STARTING, LOADING, READY, BUSY, DRAINING, STOPPED, FAILED = WorkerState
SPOKE, BECAME_READY, TOOK_WORK, RAN_DRY, WAS_ASKED_TO_STOP, ENDED = WorkerEvent

# what follows each event, in its order, in each state
TABLE = {
    STARTING: (LOADING, READY, STARTING, STARTING, DRAINING, FAILED),
    LOADING: (LOADING, READY, LOADING, LOADING, DRAINING, FAILED),
    READY: (READY, READY, BUSY, READY, DRAINING, FAILED),
    BUSY: (BUSY, BUSY, BUSY, READY, DRAINING, FAILED),
    DRAINING: (DRAINING, DRAINING, DRAINING, DRAINING, DRAINING, STOPPED),
    STOPPED: (STOPPED,) * 6,
    FAILED: (FAILED,) * 6,
}


@pytest.mark.parametrize("state", WorkerState)
def test_every_event_in_every_state(state: WorkerState) -> None:
    assert tuple(after(state, event) for event in WorkerEvent) == TABLE[state]


def test_a_life_that_goes_well() -> None:
    state, seen = STARTING, [STARTING]
    for event in (SPOKE, BECAME_READY, TOOK_WORK, RAN_DRY, WAS_ASKED_TO_STOP, ENDED):
        state = after(state, event)
        seen.append(state)
    assert seen == [STARTING, LOADING, READY, BUSY, READY, DRAINING, STOPPED]


def test_the_groups_agree_with_the_machine() -> None:
    ends = {
        state for state in WorkerState if {after(state, event) for event in WorkerEvent} == {state}
    }
    assert ends == {STOPPED, FAILED}
    assert set(WorkerState) - ends == LIVING
    assert {state for state in WorkerState if after(state, BECAME_READY) != state} == COMING
    assert {state for state in WorkerState if after(state, TOOK_WORK) == BUSY} == SERVING
    assert COMING | SERVING | {DRAINING} == LIVING
    assert not COMING & SERVING


def test_the_numbers_are_the_wires() -> None:
    for state in WorkerState:
        assert worker_pb2.WorkerState.Name(worker_pb2.WorkerState.ValueType(state)) == (
            f"WORKER_STATE_{state.name}"
        )
    assert len(worker_pb2.WorkerState.values()) == len(WorkerState) + 1
