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
from rbee_worker.sampling.running_sums import RunningSums, Weights

LIKELY_COUNT = 1_024  # top_p is nearly always settled among so many


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
    sums = RunningSums.of(weights)
    place = sums.place(uniform_value * sums.total, "right")
    return place if indices is None else int(indices[place])


def _candidates(
    logits: Floats, params: SamplingParams, peak: float
) -> tuple[Indices | None, Weights, float]:
    """Return enough tokens for the cuts, ascending, their weights, and the weight of all.

    None are all tokens. The weight of all is 0 where that of these is meant. Weights of a whole
    vocabulary are float32, those of a few candidates float64.
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
        sums = RunningSums.of(falling)
        count = sums.place(params.top_p * (total or sums.total), "left") + 1
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
