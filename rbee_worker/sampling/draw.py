"""Drawing a token by its probability: temperature, top_k, top_p, min_p.

The cuts keep the first tokens in the order of their weight, ties by index, and one of the kept is
drawn in the order of the indices. A weight is relative to that of the likeliest token: that is 1.

Source: top_p is Holtzman et al. 2020, arXiv:1904.09751, section 3.1; min_p is Nguyen et al. 2024,
arXiv:2407.01082; the order temperature, top_k, top_p, min_p is that of Hugging Face transformers
(`generation/utils.py`, `_get_logits_processor`).
"""

import numpy as np
from numpy.typing import NDArray

from rbee_worker.sampling.candidates import Floats, Indices, narrow
from rbee_worker.sampling.params import SamplingParams

LIKELY_COUNT = 1_024  # top_p is nearly always settled among so many
BLOCK_LENGTH = 256

Weights = NDArray[np.float32] | NDArray[np.float64]  # of a whole vocabulary, of a few candidates


def draw(logits: Floats, params: SamplingParams, *, peak: float, uniform_value: float) -> int:
    """Return a token.

    Args:
        logits: float32 [vocabulary], without NaN; not changed.
        params: its temperature is above 0.
        peak: the greatest of `logits`; finite.
        uniform_value: in [0, 1).
    """
    indices, weights, total = _candidates(logits, params, peak)
    if params.top_k or params.top_p < 1:
        weights *= _is_kept(weights, params, total)
    elif params.min_p:
        weights *= weights >= params.min_p
    place = _place(weights, uniform_value)
    return place if indices is None else int(indices[place])


def _candidates(
    logits: Floats, params: SamplingParams, peak: float
) -> tuple[Indices | None, Weights, float]:
    """Return enough tokens for the cuts, ascending, their weights, and the weight of all.

    None are all tokens. The weight of all is 0 where that of these is meant.
    """
    if params.top_k:
        indices = narrow(logits, params.top_k)
        return indices, _weights(logits[indices], peak, params.temperature), 0.0
    weights = _all_weights(logits, peak, params.temperature)
    if params.top_p < 1:
        total = float(weights.sum())
        indices = narrow(logits, LIKELY_COUNT)
        likely = _weights(logits[indices], peak, params.temperature)
        if likely.sum() >= params.top_p * total:
            return indices, likely, total
    return None, weights, 0.0


def _is_kept(weights: Weights, params: SamplingParams, total: float) -> NDArray[np.bool_]:
    """Return for each weight whether top_k, top_p and min_p keep it.

    Args:
        weights: not in order; the greatest is 1.
        params: the cuts.
        total: of which top_p is a share; 0: of what top_k keeps.
    """
    falling = np.sort(weights)[::-1]
    if params.top_k:
        falling = falling[: params.top_k]
    count = len(falling)
    if params.top_p < 1:
        sums = np.cumsum(falling, dtype=np.float64)
        share = params.top_p * (total or float(sums[-1]))
        count = min(count, int(np.searchsorted(sums, share)) + 1)
    if params.min_p:
        count = min(count, int(np.count_nonzero(falling >= params.min_p)))
    floor = float(falling[count - 1])
    is_kept = weights > floor
    ties = np.flatnonzero(weights == floor)
    is_kept[ties[: count - np.count_nonzero(is_kept)]] = True
    return is_kept


def _weights(values: Floats, peak: float, temperature: float) -> NDArray[np.float64]:
    return np.exp((values.astype(np.float64) - peak) / temperature)


def _all_weights(logits: Floats, peak: float, temperature: float) -> Floats:
    weights = logits - np.float32(peak)
    weights /= np.float32(temperature)
    return np.exp(weights, out=weights)


def _place(weights: Weights, uniform_value: float) -> int:
    """Return the place at which the running sum of the weights passes that share of the whole.

    First the block is found, then the place in it: a running sum over a vocabulary takes longer
    than its `exp`.
    """
    begins = np.arange(0, len(weights), BLOCK_LENGTH)
    sums = np.cumsum(np.add.reduceat(weights, begins), dtype=np.float64)
    wanted = uniform_value * float(sums[-1])
    block = _first_above(sums, wanted)
    before = float(sums[block - 1]) if block else 0.0
    begin = int(begins[block])
    inner = np.cumsum(weights[begin : begin + BLOCK_LENGTH], dtype=np.float64)
    return begin + _first_above(inner, wanted - before)


def _first_above(sums: NDArray[np.float64], wanted: float) -> int:
    """Return the first place whose sum is above `wanted`; by rounding there may be none.

    Then it is the first that reaches the last sum: never a place without a weight of its own.
    """
    place = int(np.searchsorted(sums, wanted, side="right"))
    return place if place < len(sums) else int(np.searchsorted(sums, float(sums[-1])))
