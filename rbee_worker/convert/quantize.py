"""Weights to 8-bit integers in blocks, as MatMulNBits and GatherBlockQuantized read them. Pure."""

import numpy as np
from numpy.typing import NDArray

BLOCK = 32
ZERO_POINT = 128
LEVELS = 127
SCALE_MIN = 1e-8  # a block of zeros still needs a scale
ROWS_AT_ONCE = 4096  # so that a large vocabulary does not need several times its size in memory

Floats = NDArray[np.float32]
Bytes = NDArray[np.uint8]


def to_int8(weights: Floats) -> tuple[Bytes, Floats]:
    """Quantise symmetrically, block by block along the last axis.

    Args:
        weights: float32 [rows, columns], columns a multiple of `BLOCK`.

    Returns:
        uint8 [rows, columns / BLOCK, BLOCK], where `ZERO_POINT` means 0, and the scales, float32
        [rows, columns / BLOCK]: weight = (q - ZERO_POINT) * scale, off by at most half a scale.
    """
    rows, columns = weights.shape
    quantized = np.empty((rows, columns // BLOCK, BLOCK), np.uint8)
    scales = np.empty((rows, columns // BLOCK), np.float32)
    for first in range(0, rows, ROWS_AT_ONCE):
        part = slice(first, first + ROWS_AT_ONCE)
        blocks = weights[part].reshape(-1, columns // BLOCK, BLOCK)
        scales[part] = np.maximum(np.abs(blocks).max(axis=-1) / LEVELS, SCALE_MIN)
        steps = np.rint(blocks / scales[part, :, None])
        quantized[part] = np.clip(steps, -LEVELS, LEVELS) + ZERO_POINT
    return quantized, scales
