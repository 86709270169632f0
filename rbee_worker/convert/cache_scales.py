"""How far apart the 256 steps are in which a number of a key or value is kept. Pure.

Every number of a head has a scale of its own: its greatest size on a text, with a margin.
Rotary embedding turns pairs of a key's numbers further with every position, so what is measured of
a key is the length of a pair, which no turning changes: a number alone can grow tenfold once a text
is longer than the one that was measured.
"""

import numpy as np
from numpy.typing import NDArray

# other texts reach further; nats of KL divergence from a float cache, SmolLM2-135M, five texts:
# keys 1.0 and values 1.0: 0.005 to 0.016; 1.25 and 1.5: 0.006 to 0.010; 2.0 and 2.0: 0.009 to 0.012
KEY_MARGIN = 1.25
VALUE_MARGIN = 1.5
LEVELS = 127
STEPS_PER_OCTAVE = 8  # coarse, so that another processor's rounding seldom gives another scale
FAINTEST = 2.0**-10  # of the greatest scale: what was silent in one text may speak in another
SILENT = 2.0**-10  # where all is zero, any number will do

Floats = NDArray[np.float32]


def key_reach(keys: Floats) -> Floats:
    """Return how far each number of a head may reach, at whatever position.

    Args:
        keys: float32 [heads, tokens, size], turned by rotary embedding, pairs half a head apart.

    Returns:
        float32 [heads, size].
    """
    first, second = np.split(keys, 2, axis=-1)
    lengths: Floats = np.hypot(first, second).max(axis=1)
    return np.concatenate([lengths, lengths], axis=-1) * np.float32(KEY_MARGIN)


def value_reach(values: Floats) -> Floats:
    """Return how far each number of a head may reach: [heads, tokens, size] to [heads, size]."""
    peaks: Floats = np.abs(values).max(axis=1)
    return peaks * np.float32(VALUE_MARGIN)


def scales_of(reach: Floats) -> Floats:
    """Return the scales for one layer's keys or values.

    Args:
        reach: float32 [heads, size], finite.

    Returns:
        float32 [heads, 1, size], all above zero, powers of two to an eighth.
    """
    wanted = reach.astype(np.float64) / LEVELS
    least = wanted.max() * FAINTEST or SILENT
    steps = np.ceil(np.log2(np.maximum(wanted, least)) * STEPS_PER_OCTAVE)
    scales: Floats = np.exp2(steps / STEPS_PER_OCTAVE).astype(np.float32)
    return scales[:, None]
