"""Narrowing a vocabulary to its likeliest tokens without sorting it."""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Indices = NDArray[np.intp]

BLOCK_LENGTH_MAX = 64
BLOCKS_PER_CANDIDATE = 4  # with more blocks, fewer tokens pass that are not among the greatest


def narrow(values: Floats, count: int) -> Indices:
    """Return the indices of all values that can be among the `count` greatest, and a few more.

    The greatest of each block are compared first: `count` blocks have a maximum of at least
    `floor`, so `count` values are at least `floor`, and so is every one of the `count` greatest.
    What is returned holds every value that is at least its least one, ties included.

    Args:
        values: float32 [vocabulary], without NaN.
        count: at least 1.

    Returns:
        Ascending; never that of a -inf.
    """
    block_length = min(BLOCK_LENGTH_MAX, len(values) // (BLOCKS_PER_CANDIDATE * count))
    if block_length <= 1:
        return np.flatnonzero(values > -np.inf)
    block_count = len(values) // block_length
    # Blocks are columns: the maximum of rows is one pass of whole vectors.
    blocks = values[: block_count * block_length].reshape(block_length, block_count)
    maxima = blocks.max(axis=0)
    floor = np.sort(maxima)[block_count - count]  # np.partition is slow with many equal ones
    if floor == -np.inf:
        return np.flatnonzero(values > -np.inf)
    return np.flatnonzero(values >= floor)


def likeliest(values: Floats, count: int) -> Indices:
    """Return the indices of the `count` greatest values, greatest first, ties by index.

    Args:
        values: float32 [vocabulary], without NaN.
        count: at least 1; of fewer that are above -inf there are fewer.
    """
    indices = narrow(values, count)
    return indices[np.argsort(-values[indices], kind="stable")][:count]
