"""The choice against a slow one: plain Python floats, full sorts, one token at a time."""

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from rbee_worker.sampling.choose import Choice, choose
from rbee_worker.sampling.params import SamplingParams
from rbee_worker.sampling.row import Row

ENDS = frozenset({1, 3})
ROUNDING = 1e-5


@dataclass(frozen=True)
class Case:
    """A request in the middle of its answer, and what the model says of the next token."""

    params: SamplingParams
    prompt: list[int]
    answer: list[int]
    logits: NDArray[np.float32]
    allowed: list[bool] | None

    def row(self) -> Row:
        row = Row(
            self.params,
            seed=len(self.answer),
            vocab_size=len(self.logits),
            prompt=self.prompt,
            eos_token_ids=ENDS,
        )
        for token in self.answer:
            row.push(token)
        return row

    def choice(self) -> Choice:
        mask = None if self.allowed is None else mask_of(self.allowed)
        chosen = choose([self.row()], self.logits[None].copy(), [mask])[0]
        assert isinstance(chosen, Choice)
        return chosen


def mask_of(allowed: Sequence[bool]) -> NDArray[np.int32]:
    words = [0] * -(-len(allowed) // 32)
    for token, is_allowed in enumerate(allowed):
        words[token // 32] |= is_allowed << token % 32
    return np.array(words, np.uint32).view(np.int32)


def adjusted(case: Case) -> list[float]:
    params, values = case.params, [float(each) for each in case.logits]
    for token, bias in params.logit_bias:
        values[token] += bias
    for token in range(len(values)):
        if case.allowed is not None and not case.allowed[token]:
            values[token] = -math.inf
        if len(case.answer) < params.min_tokens and token in {*ENDS, *params.stop_token_ids}:
            values[token] = -math.inf
    for token in {*case.prompt, *case.answer}:
        factor = params.repetition_penalty
        values[token] = values[token] / factor if values[token] > 0 else values[token] * factor
    for token in set(case.answer):
        values[token] -= params.frequency_penalty * case.answer.count(token)
        values[token] -= params.presence_penalty
    return values


def kept(case: Case) -> dict[int, float]:
    """Return the tokens that may come next in the order of their indices, with their weights."""
    params, values = case.params, adjusted(case)
    order = sorted(range(len(values)), key=lambda token: (-values[token], token))
    if params.temperature == 0:
        return {order[0]: 1.0}
    peak = values[order[0]]
    weights = {token: math.exp((values[token] - peak) / params.temperature) for token in order}
    order = order[: params.top_k or None]
    total, sum_, nucleus = math.fsum(weights[token] for token in order), 0.0, 0
    while params.top_p < 1 and nucleus < len(order) and sum_ < params.top_p * total:
        sum_ += weights[order[nucleus]]
        nucleus += 1
    order = order[: nucleus or None]
    return {token: weights[token] for token in sorted(order) if weights[token] >= params.min_p}


def some_case(seed: int, size: int, *, is_masked: bool = False, **asked: Any) -> Case:
    chance = random.Random(seed)
    logits = np.random.default_rng(seed).normal(0, chance.choice([0.5, 3, 8]), size)
    allowed = [chance.random() < 0.3 for _ in range(size)] if is_masked else None
    return Case(
        params=SamplingParams(**asked),
        prompt=[chance.randrange(size) for _ in range(30)],
        answer=[chance.randrange(min(size, 50)) for _ in range(chance.randrange(30))],
        logits=logits.astype(np.float32),
        allowed=allowed,
    )


def some_params(chance: random.Random, size: int) -> dict[str, Any]:
    biased = chance.sample(range(size), 5)
    asked = {
        "temperature": [0.0, 0.3, 1.0, 2.0],
        "top_k": [0, 1, 2, 40, 300, size],
        "top_p": [1.0, 0.999, 0.9, 0.5, 0.01],
        "min_p": [0.0, 0.0, 0.02, 0.5, 1.0],
        "repetition_penalty": [1.0, 1.3, 0.7],
        "frequency_penalty": [0.0, 0.7, -2.0],
        "presence_penalty": [0.0, 1.5, -0.5],
        "min_tokens": [0, 1_000],
        "stop_token_ids": [(), (0, 2)],
        "logit_bias": [(), tuple((token, chance.uniform(-100, 100)) for token in biased)],
    }
    return {name: chance.choice(values) for name, values in asked.items()}


def assert_is_drawn_right(case: Case) -> None:
    """Check that the random number falls on the chosen token's share, up to rounding."""
    choice, weights = case.choice(), kept(case)
    assert choice.token in weights
    total = math.fsum(weights.values())
    begin = math.fsum(w for token, w in weights.items() if token < choice.token) / total
    end = begin + weights[choice.token] / total
    drawn = case.row().uniform()
    assert len(weights) == 1 or begin - ROUNDING <= drawn <= end + ROUNDING


@pytest.mark.parametrize("size", [8, 33, 500])
@pytest.mark.parametrize("seed", range(60))
def test_any_request_is_answered_as_the_slow_reference_does(seed: int, size: int) -> None:
    asked = some_params(random.Random(seed), size)
    assert_is_drawn_right(some_case(seed, size, is_masked=seed % 3 == 0 and size > 8, **asked))


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(
    "asked",
    [
        {},
        {"top_k": 40},
        {"top_p": 0.9},
        {"top_p": 0.4, "temperature": 2.0},
        {"top_p": 0.999, "temperature": 2.0},  # reaches beyond the likeliest that are looked at
        {"top_p": 0.99, "temperature": 2.0, "min_p": 0.001},
        {"min_p": 0.01},
        {"top_k": 3_000, "top_p": 0.95, "temperature": 2.0},
    ],
)
def test_a_wide_vocabulary_is_cut_as_exactly_as_a_small_one(
    seed: int, asked: dict[str, Any]
) -> None:
    assert_is_drawn_right(some_case(seed, 20_000, **asked))
    assert_is_drawn_right(some_case(seed, 20_000, is_masked=True, **asked))


@pytest.mark.parametrize("asked", [{"top_k": 100}, {"top_p": 0.5}, {"top_k": 200, "top_p": 0.5}])
@pytest.mark.parametrize("size", [200, 4_000])
def test_of_equal_tokens_the_first_are_kept(asked: dict[str, Any], size: int) -> None:
    for length in range(60):
        case = Case(
            params=SamplingParams(**asked),
            prompt=[0] * length,
            answer=[],
            logits=np.zeros(size, np.float32),
            allowed=None,
        )
        limit = asked.get("top_k", size) * asked.get("top_p", 1)
        assert case.choice().token < limit
