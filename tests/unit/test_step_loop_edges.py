"""The ends of what the engine's thread does: full rows, known prompts, guesses, leaving, rest."""

import pytest

from rbee_worker.engine.request import FinishReason
from rbee_worker.sampling.params import SamplingParams
from tests.scripted_session import END, ScriptedSession
from tests.step_asking import Request, Stage, alone

MAX_LEN = 48


def request(
    prompt: list[int],
    *,
    most: int | None = None,
    n: int = 1,
    begun: list[int] | None = None,
    ignores_end: bool = True,
) -> Request:
    return Request(
        prompt=prompt,
        max_len=MAX_LEN,
        begun=begun or [],
        params=SamplingParams(temperature=0, max_tokens=most, ignore_eos=ignores_end, n=n),
    )


def model(slots: int = 4) -> ScriptedSession:
    return ScriptedSession(slots=slots, max_len=MAX_LEN)


def prompt(length: int, first: int = 1) -> list[int]:
    return [first + place % 7 for place in range(length)]


def check_as_alone(*requests: Request) -> None:
    for each in requests:
        assert each.errors == []
        expected = [alone(each, index) for index in range(each.params.n)]
        assert each.tokens == [one.tokens for one in expected]
        assert each.texts == [one.text for one in expected]
        assert [end and end.reason for end in each.ends] == [one.reason for one in expected]


@pytest.mark.parametrize("guesses", [False, True])
@pytest.mark.parametrize("length", [1, 2, MAX_LEN - 2, MAX_LEN - 1])
def test_an_answer_fills_its_row_to_the_last_token_and_no_further(
    length: int, *, guesses: bool
) -> None:
    """The session refuses what lies outside of a row, of one beside that is full as well."""
    asked = request(prompt(length))
    Stage(model(1), guesses=guesses).play(asked)
    check_as_alone(asked)
    assert len(asked.tokens[0]) == MAX_LEN - length
    many = [request(prompt(at, first)) for first, at in enumerate((length, 1, MAX_LEN - 1, 9), 1)]
    again = [request(prompt(at, first)) for first, at in enumerate((length, 1, MAX_LEN - 1, 9), 1)]
    Stage(model(), guesses=guesses).play(*many, *again)
    check_as_alone(*many, *again)


def test_a_prompt_that_was_asked_before_is_not_computed_again() -> None:
    session = model(1)
    asked = [request(prompt(20), most=5) for _ in range(3)]
    Stage(session).play(*asked)
    check_as_alone(*asked)
    assert session.calls["prefill"] == 1
    assert [end.usage.cached_tokens for each in asked for end in each.ends if end] == [0, 20, 20]


def test_the_end_of_a_longer_or_shorter_prompt_is_not_taken_for_the_own() -> None:
    session = model(1)
    asked = [request(prompt(length), most=5) for length in (20, 19, 21, 20, 1, 20)]
    Stage(session).play(*asked)
    check_as_alone(*asked)


def test_sixteen_answers_on_one_row_compute_their_prompt_once() -> None:
    session = model(1)
    asked = request(prompt(30), most=6, n=16)
    Stage(session).play(asked)
    check_as_alone(asked)
    assert session.calls["prefill"] == 1


def test_guesses_save_runs_and_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rbee_worker.engine.drafts.COST_SMOOTHING", 0.0)  # no clock has a say
    plain, quick = model(1), model(1)
    asked = [request([20, 21, 22], most=40), request([20, 21, 22], most=40)]
    Stage(plain).play(asked[0])
    Stage(quick, guesses=True).play(asked[1])
    check_as_alone(*asked)
    runs = [each.calls["decode"] + each.calls["check"] for each in (plain, quick)]
    assert quick.calls["check"]
    assert runs[1] < runs[0]
    assert quick.calls["prefill"] == 1


def test_who_left_before_it_was_looked_at_costs_nothing() -> None:
    session = model(1)
    gone, other = request(prompt(9), n=2), request(prompt(5, 9), most=3)
    gone.asker.is_gone = True
    Stage(session).play(gone, other)
    assert {end.reason for end in gone.ends if end} == {FinishReason.CANCELLED}
    check_as_alone(other)
    assert session.calls["prefill"] == 1


@pytest.mark.parametrize("count", [1, 7, MAX_LEN - 10, MAX_LEN])
def test_an_answer_that_was_begun_goes_on_as_if_it_had_been_written_here(count: int) -> None:
    whole = request(prompt(10))
    Stage(model()).play(whole)
    rest = request(prompt(10), begun=whole.tokens[0][:count])
    Stage(model()).play(rest)
    check_as_alone(rest)
    assert rest.tokens[0] == whole.tokens[0][count:]


def test_an_answer_that_was_begun_to_its_end_is_over() -> None:
    session = model()
    asked = request(prompt(10), begun=[5, 6, END], ignores_end=False)
    Stage(session).play(asked)
    assert asked.tokens == [[]]
    assert [end and end.reason for end in asked.ends] == [FinishReason.STOP]
    assert session.calls.total() == 0


def test_the_load_tells_of_no_speed_when_the_last_answer_has_ended(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("rbee_worker.engine.load.RATE_S", 1e-9)
    speeds: list[float] = []
    stage = Stage(model(), seen=lambda: speeds.append(stage.loop.load.tokens_per_second))
    stage.play(request(prompt(4), most=9))
    assert max(speeds) > 0
    assert speeds[-1] == 0
