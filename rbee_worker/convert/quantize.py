"""Weights to 8-bit integers in blocks, as MatMulNBits and GatherBlockQuantized read them. Pure."""

import numpy as np
from numpy.typing import NDArray

BLOCK = 32
ZERO_POINT = 128
LEVELS = 127
SCALE_MIN = 1e-8  # a block of zeros still needs a scale

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
    blocks = weights.reshape(rows, columns // BLOCK, BLOCK)
    scales = np.maximum(np.abs(blocks).max(axis=-1) / LEVELS, SCALE_MIN).astype(np.float32)
    quotients = np.rint(blocks / scales[..., None])
    quantized = np.clip(quotients, -LEVELS, LEVELS).astype(np.int16) + ZERO_POINT
    return quantized.astype(np.uint8), scales
