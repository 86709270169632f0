"""Choosing the next token of each row of a step, each as if it were alone.

A row is computed by itself: its result depends on no other row, to the bit. That costs nothing: a
row of the logits fits in a core's cache, and numpy finds the greatest of 16 rows one by one in half
the time of one call for all.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rbee_worker.sampling.adjust import adjust
from rbee_worker.sampling.candidates import Floats
from rbee_worker.sampling.draw import draw
from rbee_worker.sampling.fault import NumericFaultError
from rbee_worker.sampling.logprobs import measure
from rbee_worker.sampling.row import Row

TEMPERATURE_MIN = 1e-5  # below it the likeliest is taken, as at 0: there is nothing else to draw


@dataclass(frozen=True, slots=True)
class Choice:
    """The next token; `logprob` and `alternatives` (best first) if they were asked for."""

    token: int
    logprob: float | None = None
    alternatives: tuple[tuple[int, float], ...] = ()


def choose(
    rows: Sequence[Row], logits: Floats, masks: Sequence[NDArray[np.int32] | None]
) -> list[Choice | NumericFaultError]:
    """Return the next token of each row, or what is wrong with the row's logits.

    Nothing is pushed: a row that is asked again chooses the same.

    Args:
        rows: one for each row of the logits.
        logits: float32 [rows, vocabulary], unnormalised; overwritten.
        masks: for each row None or which tokens are allowed, a bit each, lowest first, set is
            allowed: int32 [vocabulary / 32].
    """
    # Some graphs forbid by the least float32, which a division makes -inf: that is meant.
    with np.errstate(over="ignore"):
        return [
            _choose_one(row, own, mask) for row, own, mask in zip(rows, logits, masks, strict=True)
        ]


def _choose_one(
    row: Row, logits: Floats, mask: NDArray[np.int32] | None
) -> Choice | NumericFaultError:
    params = row.params
    best, peak = _greatest(logits)
    if not math.isfinite(peak):
        return NumericFaultError("the model gave logits that are not numbers")
    surprise = None if params.logprobs is None else measure(logits, peak)
    if adjust(row, logits, mask):
        best, peak = _greatest(logits)
        if not math.isfinite(peak):
            return NumericFaultError("no token is left that may come next")
    if params.temperature < TEMPERATURE_MIN or params.top_k == 1:
        token = best
    else:
        token = draw(logits, params, peak=peak, uniform_value=row.uniform())
    if surprise is None or params.logprobs is None:
        return Choice(token)
    return Choice(token, surprise.of(token), surprise.alternatives(params.logprobs))


def _greatest(logits: Floats) -> tuple[int, float]:
    """Return the place and value of the greatest, the first of equal ones; a NaN is greatest."""
    best = int(logits.argmax())
    return best, float(logits[best])
