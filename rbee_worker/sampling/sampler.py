"""Choosing the next token from its logits. Pure: randomness is a function of (seed, position).

So a request that is continued elsewhere, from any point, goes on as it would have.
"""

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from rbee_worker.sampling.fault import NumericFaultError

Floats = NDArray[np.float32]

LIKELY_COUNT = 1_024  # top_p is nearly always settled among so many
SEED_MASK = 2**64 - 1


def uniform(seed: int, position: int) -> float:
    """Return the random number in [0, 1) of that seed and that position of the sequence.

    Source: Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3" (Philox).
    """
    bits = np.random.Philox(key=seed & SEED_MASK, counter=position)
    return float(np.random.Generator(bits).random())


def sample(
    logits: Floats, *, temperature: float, top_k: int, top_p: float, uniform_value: float
) -> int:
    """Return the next token.

    Args:
        logits: float32 [vocabulary], unnormalised; not changed.
        temperature: 0 takes the likeliest.
        top_k: keeps so many of the likeliest; 0 keeps all.
        top_p: keeps the smallest set with at least this probability; 1 keeps all.
        uniform_value: in [0, 1).

    Raises:
        NumericFaultError: there is a NaN, or nothing is finite.

    Source: top_p is Holtzman et al. 2020, arXiv:1904.09751, section 3.1.
    """
    best = int(logits.argmax())  # a NaN is its own maximum
    if not np.isfinite(logits[best]):
        raise NumericFaultError("the model gave logits that are not numbers")
    if temperature == 0 or top_k == 1:
        return best
    scaled = (logits.astype(np.float64) - float(logits[best])) / temperature
    if top_k:
        candidates = _likeliest(scaled, top_k)
        weights = np.exp(scaled[candidates])
        return _choose(candidates, weights, float(weights.sum()), top_p, uniform_value)
    weights = np.exp(scaled)
    total = weights.sum()
    if top_p >= 1:
        return _place(weights, uniform_value * float(total))
    candidates = _likeliest(scaled, LIKELY_COUNT)
    if weights[candidates].sum() < top_p * total:
        candidates = _likeliest(scaled, len(scaled))
    return _choose(candidates, weights[candidates], float(total), top_p, uniform_value)


def _likeliest(values: NDArray[np.float64], count: int) -> NDArray[np.intp]:
    """Return the indices of the `count` greatest values, greatest first, ties by index."""
    if count < len(values):
        threshold = np.partition(values, -count)[-count]
        indices = np.flatnonzero(values >= threshold)
    else:
        indices = np.arange(len(values))
    return indices[np.argsort(-values[indices], kind="stable")][:count]


def _choose(
    candidates: NDArray[np.intp],
    weights: NDArray[np.float64],
    total: float,
    top_p: float,
    uniform_value: float,
) -> int:
    kept = _place(weights, top_p * total, side="left") + 1 if top_p < 1 else len(weights)
    weights = weights[:kept]
    return int(candidates[_place(weights, uniform_value * float(weights.sum()))])


def _place(
    weights: NDArray[np.float64], sum_: float, side: Literal["left", "right"] = "right"
) -> int:
    """Return the index at which the running sum of `weights` passes `sum_`."""
    sums: NDArray[np.float64] = np.cumsum(weights)
    return min(int(np.searchsorted(sums, sum_, side=side)), len(weights) - 1)
