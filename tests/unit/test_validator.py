"""The judge itself: a true story passes, and each way to break it is seen."""

import copy
from collections.abc import Callable

import pytest

from rbee.v1 import job_pb2
from tests.story.validator import Reading, faults_of

Break = Callable[[list[Reading]], None]


def event(sequence: int, **kind: object) -> job_pb2.JobEvent:
    made = job_pb2.JobEvent(sequence=sequence, first_sequence=sequence)
    if "text" in kind:
        made.completion.text = str(kind["text"])
    elif "human" in kind:
        made.narration.human = str(kind["human"])
    else:
        made.state.state = job_pb2.JOB_STATE_COMPLETED
    return made


def true_story() -> list[Reading]:
    def events() -> list[job_pb2.JobEvent]:
        return [
            event(1, human="a"),
            event(2, text="x"),
            event(3, text="y"),
            event(4, human="b"),
            event(5),
        ]

    merged = events()
    merged[2].first_sequence, merged[2].completion.text = 2, "xy"
    del merged[1]
    return [
        Reading("early", 0, events(), complete=True),
        Reading("merged", 0, merged, complete=True),
        Reading("resumed", 2, events()[2:], complete=True),
        Reading("left", 0, events()[:3]),
        Reading("never", 0),
    ]


def test_a_true_story_passes() -> None:
    assert faults_of(true_story()) == []


def lose_one(readings: list[Reading]) -> None:
    del readings[0].events[2]


def say_twice(readings: list[Reading]) -> None:
    readings[0].events.insert(1, readings[0].events[0])


def swap(readings: list[Reading]) -> None:
    events = readings[0].events
    events[0], events[3] = events[3], events[0]


def no_end(readings: list[Reading]) -> None:
    readings[0].events.pop()


def other_end(readings: list[Reading]) -> None:
    readings[0].events[-1].state.state = job_pb2.JOB_STATE_FAILED


def two_ends(readings: list[Reading]) -> None:
    readings[0].events.append(event(6))


def go_on_after_another_s_end(readings: list[Reading]) -> None:
    readings[3].events = [*true_story()[0].events[:4], event(5, human="c"), event(6, human="d")]


def other_words(readings: list[Reading]) -> None:
    readings[1].events[0].narration.human = "A"


def other_text(readings: list[Reading]) -> None:
    readings[1].events[1].completion.text = "xz"


def other_text_after_resuming(readings: list[Reading]) -> None:
    readings[2].events[0].completion.text = "xy"


def resume_too_late(readings: list[Reading]) -> None:
    del readings[2].events[0]


@pytest.mark.parametrize(
    "spoil",
    [
        lose_one,
        say_twice,
        swap,
        no_end,
        other_end,
        two_ends,
        go_on_after_another_s_end,
        other_words,
        other_text,
        other_text_after_resuming,
        resume_too_late,
    ],
)
def test_each_fault_is_seen(spoil: Break) -> None:
    readings = copy.deepcopy(true_story())
    spoil(readings)
    assert faults_of(readings) != []
