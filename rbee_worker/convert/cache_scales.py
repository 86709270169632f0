"""How far apart the 256 steps are in which a number of a key or value is kept. Pure.

Every number of a head has a scale of its own: its greatest absolute value on a text, with a margin.
Rotary embedding turns pairs of a key's numbers further with every position, so what is measured of
a key is the length of a pair, which no turning changes: a number alone can grow tenfold once a text
is longer than the one that was measured.
"""

import numpy as np
from numpy.typing import NDArray

MARGIN = 1.5  # other texts reach further: 1.0 cuts their peaks off, 2.0 loses precision for nothing
LEVELS = 127
STEPS_PER_OCTAVE = 8  # coarse, so that another processor's rounding seldom gives another scale
FAINTEST = 2.0**-10  # of the greatest scale: what was silent in one text may speak in another
SILENT = 2.0**-10  # where all is zero, any number will do

Floats = NDArray[np.float32]


def key_peaks(keys: Floats) -> Floats:
    """Return how far each number of a head can reach, at whatever position.

    Args:
        keys: float32 [heads, tokens, size], turned by rotary embedding, pairs half a head apart.

    Returns:
        float32 [heads, size].
    """
    first, second = np.split(keys, 2, axis=-1)
    lengths = np.hypot(first, second).max(axis=1)
    return np.concatenate([lengths, lengths], axis=-1)


def value_peaks(values: Floats) -> Floats:
    """Return how far each number of a head reaches: [heads, tokens, size] to [heads, size]."""
    peaks: Floats = np.abs(values).max(axis=1)
    return peaks


def scales_of(peaks: Floats) -> Floats:
    """Return the scales for peaks of one layer's keys or values.

    Args:
        peaks: float32 [heads, size], finite.

    Returns:
        float32 [heads, 1, size], all above zero, powers of two to an eighth.
    """
    wanted = peaks.astype(np.float64) * MARGIN / LEVELS
    least = wanted.max() * FAINTEST or SILENT
    steps = np.ceil(np.log2(np.maximum(wanted, least)) * STEPS_PER_OCTAVE)
    scales: Floats = np.exp2(steps / STEPS_PER_OCTAVE).astype(np.float32)
    return scales[:, None]
