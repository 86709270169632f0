"""Random histories of the engine's thread: whatever happens, each answer is what it is alone."""

import random

import pytest

from rbee_shared.errors import RbeeError
from rbee_worker.constraints.refusal import ConstraintBrokenError
from rbee_worker.engine.answer import Asker
from rbee_worker.engine.request import Finish, FinishReason, Priority
from rbee_worker.engine.runs import Floats
from rbee_worker.engine.step_loop import Embed, EngineDeadError, StepLoop, Stop
from rbee_worker.sampling.fault import NumericFaultError
from rbee_worker.sampling.params import SamplingParams
from tests.scripted_session import VOCAB_SIZE, ScriptedSession
from tests.step_asking import Request, alone, text_of

ENDS = (FinishReason.STOP, FinishReason.LENGTH)
MODEL_CALLS = ("prefill", "check", "decode", "copy", "swap", "embed", "nan")
TURNS_MAX = 3_000


class History:
    """Requests, leaves, faults and an end, all from a seed, played in this thread."""

    def __init__(self, seed: int) -> None:
        self.dice = dice = random.Random(seed)
        self.max_len = dice.choice([24, 64, 128])
        self.failing: dict[str, float] = dict.fromkeys(MODEL_CALLS, 0.0)
        if seed % 2:
            self.failing |= {
                dice.choice(MODEL_CALLS): dice.choice([0.02, 0.2])
                for _ in range(dice.randint(1, 4))
            }
        self.session = ScriptedSession(
            slots=dice.choice([1, 2, 4, 16]),
            max_len=self.max_len,
            is_exact=dice.random() < 0.7,
            fails=lambda call: dice.random() < self.failing[call],
            seed=seed,
        )
        self.loop = StepLoop(self.session, flush=self.turn, guesses=dice.random() < 0.8)
        self.left = dice.randint(1, 14)
        self.leaves = dice.choice([0.0, 0.0, 0.05])
        self.dies = dice.random() < 0.15
        self.asked: list[Request] = []
        self.embedded: list[list[Floats | RbeeError]] = []
        self.begins = [self.tokens(self.max_len) for _ in range(2)]
        self.turns = 0
        self.is_over = False

    def play(self) -> None:
        """Play it."""
        self.ask()
        self.loop.run()

    def turn(self) -> None:
        """Do what comes next, between two turns of the loop or within one."""
        self.turns += 1
        assert self.turns < TURNS_MAX, "it goes on and on"
        load, open_count = self.loop.load, sum(each.open_count for each in self.asked)
        assert load.running <= self.session.slots
        assert load.running + load.waiting <= open_count
        assert 0 <= load.cache_usage <= 1
        for request in self.asked:
            if self.dice.random() < self.leaves:
                request.asker.is_gone = True
        if self.is_over:
            return
        is_idle = open_count == 0 and all(self.embedded)
        if self.left and (is_idle or self.dice.random() < 0.2):
            self.ask()
        elif not self.left and (is_idle or self.dies):
            self.loop.commands.put_nowait(Stop())
            self.is_over = True
            if self.dies:
                self.ask()

    def ask(self) -> None:
        """Ask for something."""
        self.left -= 1
        if self.dice.random() < 0.1:
            heard: list[Floats | RbeeError] = []
            self.embedded.append(heard)
            self.loop.commands.put_nowait(Embed((self.tokens(3), [1]), Asker(heard.append)))
            return
        request = self.request()
        self.asked.append(request)
        self.loop.commands.put_nowait(request.ask())

    def request(self) -> Request:
        """Return a request, often for what was asked before, or something like it."""
        dice = self.dice
        prompt = dice.choice(self.begins)[: dice.randint(1, self.max_len - 1)]
        if self.asked and dice.random() < 0.4:
            prompt = dice.choice(self.asked).prompt
        elif dice.random() < 0.7:
            prompt = [*prompt, *self.tokens(4)][-self.max_len + 1 :]
        room = self.max_len - len(prompt)
        begun = self.tokens(min(room + 1, 12)) if dice.random() < 0.2 else []
        return Request(
            prompt=prompt,
            max_len=self.max_len,
            begun=begun,
            priority=dice.choice(list(Priority)),
            breaks=(dice.randint(0, 30), dice.randint(len(begun), 30))
            if dice.random() < 0.1
            else None,
            params=SamplingParams(
                n=1 if begun else dice.choice([1, 1, 1, 2, 4]),
                seed=dice.randint(0, 3),
                temperature=dice.choice([0.0, 0.0, 0.5, 1.0]),
                max_tokens=dice.choice([None, 1, 2, 9, 30]),
                stop=dice.choice([(), (), ("e",), ("ab", "c "), ("éa", "b", "xyz")]),
                ignore_eos=dice.random() < 0.5,
                repetition_penalty=dice.choice([1.0, 1.0, 1.3]),
            ),
        )

    def tokens(self, most: int) -> list[int]:
        """Return some tokens, none of them the end."""
        return [self.dice.randint(1, VOCAB_SIZE - 1) for _ in range(self.dice.randint(1, most))]


@pytest.fixture(autouse=True)
def _small_pieces(
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # a model that takes no time gets large ones
    monkeypatch.setattr("rbee_worker.engine.scheduler.CHUNK_TOKENS_MIN", 4)
    monkeypatch.setattr("rbee_worker.engine.scheduler.CHUNK_TOKENS_MAX", 16)


@pytest.mark.parametrize("seed", range(300))
def test_whatever_happens_each_answer_ends_once_and_is_what_it_is_alone(seed: int) -> None:
    history = History(seed)
    history.play()
    check(history)


def check(history: History) -> None:
    load = history.loop.load
    assert (load.running, load.waiting, load.cache_usage, load.tokens_per_second) == (0, 0, 0, 0)
    assert [len(each) for each in history.embedded] == [1] * len(history.embedded)
    errors = [each for request in history.asked for each in request.errors]
    told = 0
    for request in history.asked:
        assert request.open_count == 0
        for index, end in enumerate(request.ends):
            check_answer(history, request, index, end)
            told += len(request.tokens[index])
            if end is not None and end.usage.completion_tokens:
                told += (
                    end.usage.completion_tokens - len(request.begun) - len(request.tokens[index])
                )
        for error in request.errors:
            check_error(history, request, error)
    said_late = sum(isinstance(each, ConstraintBrokenError) for each in errors)
    assert told <= load.token_count <= told + said_late
    faults = sum(isinstance(each, NumericFaultError) for each in errors)
    assert faults <= len(history.session.spoiled)  # none is kept and met again
    once = [id(each) for each in errors if each in history.session.broken]
    assert len(set(once)) == len(once)


def check_answer(history: History, request: Request, index: int, end: Finish | None) -> None:
    expected = alone(request, index)
    tokens = request.tokens[index]
    if end is not None and end.reason in ENDS:
        assert tokens == expected.tokens
        assert request.texts[index] == expected.text
        assert (end.reason, end.stop) == (expected.reason, expected.stop)
        assert end.usage.completion_tokens == expected.completion_tokens
        assert end.usage.prompt_tokens == len(request.prompt)
        return
    assert request.asker.is_gone or request.errors
    assert tokens == expected.tokens[: len(tokens)]
    if end is None:
        told = text_of([*request.begun, *tokens], request.params.stop, is_over=False)[0]
        before = text_of(request.begun, request.params.stop, is_over=False)[0]
        assert request.texts[index] == told[len(before) :]


def check_error(history: History, request: Request, error: RbeeError) -> None:
    """Insist that a request failed by what was done for it."""
    if isinstance(error, EngineDeadError):
        assert history.dies
        return
    if isinstance(error, ConstraintBrokenError):
        assert request.breaks is not None
        return
    histories = [[*request.prompt, *request.begun, *each] for each in request.tokens]
    if isinstance(error, NumericFaultError):
        assert any(each in history.session.spoiled for each in histories)
        return
    broken = history.session.broken[error]
    assert broken
    assert any(broken[: len(each)] == each[: len(broken)] for each in histories)
