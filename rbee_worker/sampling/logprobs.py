"""How probable the model itself found its tokens, whatever the request makes of that."""

import math
from dataclasses import dataclass

import numpy as np

from rbee_worker.sampling.candidates import Floats, likeliest


@dataclass(frozen=True, slots=True)
class Surprise:
    """The model's own distribution: before bias, masks, penalties and temperature.

    Such logarithms are comparable between requests, and exist for temperature 0. `log_total` is the
    logarithm of the sum of all weights.
    """

    logits: Floats
    log_total: float

    def of(self, token: int) -> float:
        """Return the natural logarithm of the token's probability."""
        return float(self.logits[token]) - self.log_total

    def alternatives(self, count: int) -> tuple[tuple[int, float], ...]:
        """Return the `count` likeliest tokens with their logarithms, best first, ties by index.

        The token that is chosen is among them if it is that likely, as in OpenAI's API.
        """
        if not count:
            return ()
        return tuple((token, self.of(token)) for token in likeliest(self.logits, count).tolist())


def measure(logits: Floats, peak: float) -> Surprise:
    """Return the distribution of these logits, which are copied.

    Args:
        logits: float32 [vocabulary], without NaN.
        peak: the greatest of them; finite.
    """
    weights = logits - np.float32(peak)
    np.exp(weights, out=weights)
    return Surprise(logits.copy(), peak + math.log(float(weights.sum())))
