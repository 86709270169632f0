"""Weights as integers in blocks, as MatMulNBits and GatherBlockQuantized read them. Pure.

Formats of the file's blocks: https://github.com/ggml-org/ggml/blob/master/src/ggml-common.h
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

BLOCK = 32
ZERO_POINT = 128
LEVELS = 127
SCALE_MIN = 1e-8  # a block of zeros still needs a scale
HALF_BYTES = 2
ZERO_POINT_4 = 8

Floats = NDArray[np.float32]
Bytes = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Quantized:
    """Rows of a matrix: weight = (integer - zero point) * scale + offset, block by block.

    `integers` is uint8 [rows, blocks, 32] for 8 bits, or [rows, blocks, 16] for 4, the first of two
    numbers in the low half of a byte; `scales` and `offsets` are float32 [rows, blocks].
    """

    integers: Bytes
    scales: Floats
    offsets: Floats | None = None


def to_int8(weights: Floats) -> Quantized:
    """Quantise symmetrically to 8 bits, block by block along the last axis.

    Args:
        weights: float32 [rows, columns], columns a multiple of `BLOCK`.

    Returns:
        Integers around `ZERO_POINT`; a weight is off by at most half a scale.
    """
    rows, columns = weights.shape
    blocks = weights.reshape(rows, columns // BLOCK, BLOCK)
    scales = np.maximum(np.abs(blocks).max(axis=-1) / LEVELS, SCALE_MIN).astype(np.float32)
    steps = np.rint(blocks / scales[..., None])
    return Quantized((np.clip(steps, -LEVELS, LEVELS) + ZERO_POINT).astype(np.uint8), scales)


def from_q8_0(rows: Bytes) -> Quantized:
    """Take 8-bit blocks over as they are: a half float scale, 32 signed integers.

    Args:
        rows: uint8 [rows, bytes of a row], as they lie in the file.

    Returns:
        The same numbers, around `ZERO_POINT`.
    """
    halves, integers = _split(rows, halves=1, integers=BLOCK)
    return Quantized(integers ^ np.uint8(ZERO_POINT), halves[..., 0])


def from_q4_0(rows: Bytes) -> Quantized:
    """Take 4-bit blocks over as they are: a half float scale, 32 integers around 8.

    Args:
        rows: uint8 [rows, bytes of a row], as they lie in the file.

    Returns:
        The same numbers, around 8.
    """
    halves, integers = _split(rows, halves=1, integers=BLOCK // 2)
    return Quantized(_repacked(integers), halves[..., 0])


def from_q4_1(rows: Bytes) -> Quantized:
    """Take 4-bit blocks over as they are: two half floats, scale and minimum, and 32 integers.

    Args:
        rows: uint8 [rows, bytes of a row], as they lie in the file.

    Returns:
        The same integers, read as around 8, and what then is missing as offsets.
    """
    halves, integers = _split(rows, halves=2, integers=BLOCK // 2)
    scales, minima = halves[..., 0], halves[..., 1]
    return Quantized(_repacked(integers), scales, minima + ZERO_POINT_4 * scales)


def _split(rows: Bytes, *, halves: int, integers: int) -> tuple[Floats, Bytes]:
    head = halves * HALF_BYTES
    blocks = rows.reshape(len(rows), -1, head + integers)
    floats = np.ascontiguousarray(blocks[..., :head]).view("<f2").astype(np.float32)
    return floats, blocks[..., head:]


def _repacked(integers: Bytes) -> Bytes:
    # the file pairs the numbers of the two halves of a block, the operators pair neighbours
    numbers = np.concatenate([integers & np.uint8(15), integers >> np.uint8(4)], axis=-1)
    return numbers[..., 0::2] | (numbers[..., 1::2] << np.uint8(4))
