"""What goes wrong in the engine's thread: it ends what it concerns, and everybody hears an end."""

from collections.abc import Callable

import pytest

from rbee_shared.errors import RbeeError
from rbee_worker.compute_error import OutOfMemoryError
from rbee_worker.constraints.refusal import ConstraintBrokenError
from rbee_worker.engine.answer import Asker
from rbee_worker.engine.request import FinishReason
from rbee_worker.engine.runs import Floats
from rbee_worker.engine.scheduler import WAITING_MAX, QueueFullError
from rbee_worker.engine.step_loop import Embed, EngineDeadError, Stop
from rbee_worker.sampling.params import SamplingParams
from tests.scripted_session import ScriptedSession
from tests.step_asking import Request, Stage, alone

MAX_LEN = 64
LONG = list(range(1, 31)) + list(range(1, 9))


def request(
    *prompt: int,
    most: int = 12,
    n: int = 1,
    breaks: tuple[int, int] | None = None,
    fault: type[Exception] | None = None,
) -> Request:
    return Request(
        prompt=list(prompt),
        max_len=MAX_LEN,
        breaks=breaks,
        fault=fault,
        params=SamplingParams(temperature=0, max_tokens=most, ignore_eos=True, n=n),
    )


def session(
    *failing: str, slots: int = 4, at: Callable[[], bool] = lambda: True
) -> ScriptedSession:
    return ScriptedSession(
        slots=slots, max_len=MAX_LEN, fails=lambda call: call in failing and at()
    )


def check_as_alone(*requests: Request) -> None:
    for each in requests:
        assert each.errors == []
        expected = [alone(each, index) for index in range(each.params.n)]
        assert each.tokens == [one.tokens for one in expected]
        assert each.texts == [one.text for one in expected]
        assert [end and end.reason for end in each.ends] == [one.reason for one in expected]


def check_at_rest(stage: Stage) -> None:
    load = stage.loop.load
    assert (load.running, load.waiting, load.cache_usage, load.tokens_per_second) == (0, 0, 0, 0)


@pytest.mark.parametrize("slots", [2, 3, 16])
def test_a_prompt_that_cannot_be_copied_is_computed(slots: int) -> None:
    model = session("copy", slots=slots)
    asked = [request(*LONG, last, n=2) for last in (7, 8, 9)]
    stage = Stage(model)
    stage.play(*asked)
    check_as_alone(*asked)
    check_at_rest(stage)
    assert model.calls["failed copy"]


def test_who_cannot_be_moved_when_another_leaves_is_computed_again() -> None:
    model = session("swap")
    asked = [request(place, place, most=3 + place) for place in (1, 9, 2, 8)]
    stage = Stage(model)
    stage.play(*asked)
    check_as_alone(*asked)
    check_at_rest(stage)
    assert model.calls["failed swap"]


def test_who_lost_a_row_is_not_written_in_the_same_step() -> None:
    """Decoding fails for all at once and for the first alone; then its place cannot be filled."""
    asked = [request(place, most=9) for place in (1, 2, 3, 4)]
    decodes: list[int] = []

    def fails(call: str) -> bool:
        if call == "decode" and all(len(each.tokens[0]) > 2 for each in asked):
            decodes.append(model.calls["decode"])
        return call == "swap" or (call == "decode" and 0 < len(decodes) < 4 and len(decodes) != 2)

    model = ScriptedSession(slots=4, max_len=MAX_LEN, fails=fails)
    stage = Stage(model)
    stage.play(*asked)
    failed = [each for each in asked if each.errors]
    assert len(failed) == 1
    assert model.calls["failed swap"] == 1
    check_as_alone(*[each for each in asked if each not in failed])
    check_at_rest(stage)


def test_who_lost_a_row_while_it_is_read_is_read_from_its_begin(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("rbee_worker.engine.scheduler.CHUNK_TOKENS_MAX", 16)
    model = session("swap")
    short = [request(1), request(2, most=4), request(3)]
    long = request(*LONG, *LONG[:20], most=2)

    Stage(model).play(*short, long)
    check_as_alone(*short, long)
    assert model.calls["failed swap"]


def test_guesses_that_cannot_be_checked_are_done_without() -> None:
    model, asked = session("check"), request(20, 21, 22, most=40)
    Stage(model, guesses=True).play(asked)
    check_as_alone(asked)
    assert model.calls["failed check"]


@pytest.mark.parametrize("breaks", [(3, 99), (99, 3)])
def test_a_form_that_breaks_ends_its_answer_while_the_others_are_moved(
    breaks: tuple[int, int],
) -> None:
    stage = Stage(session())
    asked = [request(place, breaks=breaks if place == 2 else None) for place in range(1, 5)]
    stage.play(*asked)
    (error,) = asked[1].errors
    assert isinstance(error, ConstraintBrokenError)
    check_as_alone(asked[0], *asked[2:])
    check_at_rest(stage)


def test_memory_that_choosing_does_not_find_ends_one_answer() -> None:
    stage = Stage(session())
    asked = [request(1), request(2, breaks=(3, 99), fault=MemoryError), request(3)]
    stage.play(*asked)
    (error,) = asked[1].errors
    assert isinstance(error, OutOfMemoryError)
    check_as_alone(asked[0], asked[2])


@pytest.mark.parametrize("slots", [1, 2, 16])
def test_when_one_answer_of_a_request_fails_its_others_are_cancelled(slots: int) -> None:
    times = iter([True])
    stage = Stage(session("nan", slots=slots, at=lambda: next(times, False)))
    failing, other = request(1, 2, n=4), request(3, 4, n=2)
    stage.play(failing, other)
    assert len(failing.errors) == 1
    assert failing.ends.count(None) == 1
    assert {end.reason for end in failing.ends if end} == {FinishReason.CANCELLED}
    check_as_alone(other)
    check_at_rest(stage)


def test_a_bug_ends_the_engine_and_everybody_hears_it() -> None:
    asked = [request(place, n=2) for place in range(1, 5)]
    late, heard = request(9), list[Floats | RbeeError]()

    def fails(call: str) -> bool:
        if call != "decode" or model.calls["decode"] < 4:
            return False
        stage.put(late)
        stage.loop.commands.put_nowait(Embed(([1],), Asker(heard.append)))
        raise ZeroDivisionError

    model = ScriptedSession(slots=2, max_len=MAX_LEN, fails=fails)
    stage = Stage(model)
    with pytest.raises(ZeroDivisionError):
        stage.play(*asked)
    assert stage.loop.is_dead
    for each in (*asked, late):
        assert each.open_count == 0
        assert {type(error) for error in each.errors} == {EngineDeadError}
    assert [type(each) for each in heard] == [EngineDeadError]
    check_at_rest(stage)


def test_an_engine_that_stops_tells_those_whom_it_has_not_looked_at() -> None:
    stage, heard = Stage(session()), list[Floats | RbeeError]()
    asked = [request(place) for place in range(1, 4)]
    stage.loop.commands.put_nowait(Stop())
    stage.loop.commands.put_nowait(Embed(([1],), Asker(heard.append)))
    stage.play(*asked)
    assert [type(error) for each in asked for error in each.errors] == [EngineDeadError] * 3
    assert [type(each) for each in heard] == [EngineDeadError]


def test_whom_the_queue_cannot_take_is_told_once_and_the_others_are_answered() -> None:
    stage = Stage(session(slots=1))
    asked = [request(1, most=2, n=16) for _ in range(WAITING_MAX // 16 + 2)]
    stage.play(*asked)
    refused = [each for each in asked if each.is_refused]
    assert refused == asked[-2:]
    assert all(len(each.errors) == 1 for each in refused)
    check_as_alone(*asked[:-2])


def test_texts_that_wait_to_become_vectors_are_bounded() -> None:
    stage, heard = Stage(session()), list[Floats | RbeeError]()
    for _ in range(WAITING_MAX + 1):
        stage.loop.commands.put_nowait(Embed(([1],), Asker(heard.append)))
    stage.play(request(1, most=WAITING_MAX // 2))
    refused = [each for each in heard if isinstance(each, QueueFullError)]
    assert len(refused) == 1
    assert len(heard) == WAITING_MAX + 1


def test_texts_that_nobody_wants_any_more_are_not_computed() -> None:
    model, heard = session(), list[Floats | RbeeError]()
    asker = Asker(heard.append)

    def leave() -> None:
        asker.is_gone = asker.is_gone or model.calls["embed"] == 2

    stage = Stage(model, seen=leave)
    stage.loop.commands.put_nowait(Embed([[1]] * 50, asker))
    stage.play(request(1, most=30))
    assert heard == []
    assert model.calls["embed"] == 2
