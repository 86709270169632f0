"""The tables of rotary embedding: the cosine and sine of every position's angles. Pure.

Source: Su et al. 2021, arXiv:2104.09864; scaled positions: Chen et al. 2023, arXiv:2306.15595.
"""

from collections.abc import Callable, Generator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
POSITIONS_AT_ONCE = 4096


@dataclass(frozen=True, slots=True)
class Rotary:
    """How positions become angles: frequencies from `base`, positions divided by `factor`."""

    base: float
    factor: float = 1.0


def table(
    rotary: Rotary,
    head_dim: int,
    context: int,
    *,
    function: Callable[[NDArray[np.float64]], NDArray[np.float64]],
    stretch: Floats | None = None,
) -> Generator[Floats]:
    """Yield the function of all angles, float32 [positions, head_dim / 2], some at a time.

    Args:
        rotary: how positions become angles.
        head_dim: numbers of a head, all of which are turned.
        context: positions in all.
        function: cosine or sine.
        stretch: float32 [head_dim / 2], what each frequency is divided by.
    """
    steps = np.arange(0, head_dim, 2, dtype=np.float64) / head_dim
    frequencies = rotary.base**-steps / rotary.factor
    if stretch is not None:
        frequencies = frequencies / stretch
    for first in range(0, context, POSITIONS_AT_ONCE):
        positions = np.arange(first, min(first + POSITIONS_AT_ONCE, context))
        yield function(np.outer(positions, frequencies)).astype(np.float32)
