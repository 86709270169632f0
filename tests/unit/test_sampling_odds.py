"""Tokens come as often as their probability says: chi-square tests with fixed seeds."""

from collections import Counter
from typing import Any

import numpy as np
import pytest

from rbee_worker.sampling.choose import Choice, choose
from rbee_worker.sampling.params import SamplingParams
from rbee_worker.sampling.row import Row

DRAWS = 3_000
LOGITS = np.array([1.0, 3.0, 2.0, 0.0, 2.5, -1.0, 1.0, 2.0], np.float32)
LIKELIEST = [1, 4, 2, 7, 0, 6, 3, 5]
CHI_SQUARE_MAX = {3: 16.3, 4: 18.5, 7: 24.3}  # passed once in a thousand, by degrees of freedom


def draws(*, logits: "np.ndarray[Any, np.dtype[np.float32]]", **asked: Any) -> Counter[int]:
    """Draw for one request at many positions and for many requests at one, half and half."""
    found: Counter[int] = Counter()
    walker = _row(0, len(logits), **asked)
    for seed in range(DRAWS // 2):
        pair = [walker, _row(seed + 1, len(logits), **asked)]
        choices = choose(pair, np.stack([logits, logits]), [None, None])
        tokens = [each.token for each in choices if isinstance(each, Choice)]
        walker.push(tokens[0])
        found.update(tokens)
    return found


def _row(seed: int, size: int, **asked: Any) -> Row:
    params = SamplingParams(**asked)
    return Row(params, seed=seed, vocab_size=size, prompt=[], eos_token_ids=frozenset())


@pytest.mark.parametrize(
    ("asked", "kept"),
    [
        ({}, 8),
        ({"temperature": 2.0}, 8),
        ({"top_k": 5}, 5),
        ({"top_p": 0.85}, 4),
        ({"min_p": 0.3}, 4),
        ({"top_k": 6, "top_p": 0.93, "min_p": 0.1}, 5),
    ],
)
def test_tokens_come_as_often_as_their_probability_says(asked: dict[str, Any], kept: int) -> None:
    tokens = LIKELIEST[:kept]
    found = draws(logits=LOGITS, **asked)
    assert set(found) <= set(tokens)
    weights = np.exp(LOGITS[tokens].astype(np.float64) / asked.get("temperature", 1.0))
    expected = weights / weights.sum() * DRAWS
    observed = np.array([found[token] for token in tokens])
    assert float(((observed - expected) ** 2 / expected).sum()) < CHI_SQUARE_MAX[kept - 1]


@pytest.mark.parametrize("asked", [{}, {"top_p": 0.999}])
def test_the_whole_of_a_wide_vocabulary_is_drawn_from(asked: dict[str, Any]) -> None:
    found = draws(logits=np.zeros(4_000, np.float32), **asked)
    eighths = Counter(token // 500 for token in found.elements())
    statistic = sum((eighths[each] - DRAWS / 8) ** 2 / (DRAWS / 8) for each in range(8))
    assert statistic < CHI_SQUARE_MAX[7]
