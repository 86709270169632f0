"""Weights in blocks: how far one may move, and which blocks are taken over without moving any."""

from typing import Any

import gguf as untyped_gguf
import numpy as np
import pytest
from numpy.typing import NDArray

from rbee_worker.convert.quantize import (
    BLOCK,
    ZERO_POINT,
    Quantized,
    from_q4_0,
    from_q4_1,
    from_q8_0,
    to_int8,
)

gguf: Any = untyped_gguf

Floats = NDArray[np.float32]


def normal(spread: float, rows: int = 48, seed: int = 1) -> Floats:
    return np.random.default_rng(seed).normal(0, spread, (rows, 4 * BLOCK)).astype(np.float32)


def numbers(quantized: Quantized, bits: int) -> Floats:
    """Return what the operators make of it."""
    integers = quantized.integers
    if bits == 4:
        halves = np.stack([integers & np.uint8(15), integers >> np.uint8(4)], axis=-1)
        integers = halves.reshape(*integers.shape[:-1], BLOCK)
    found = (integers.astype(np.float32) - 2 ** (bits - 1)) * quantized.scales[..., None]
    if quantized.offsets is not None:
        found = found + quantized.offsets[..., None]
    return found.reshape(len(found), -1)


@pytest.mark.parametrize("spread", [1e-6, 0.02, 1.0, 1e4])
def test_no_weight_moves_by_more_than_half_a_step(spread: float) -> None:
    weights = normal(spread)
    found = to_int8(weights)
    assert (found.integers.dtype, found.integers.shape) == (np.uint8, (48, 4, BLOCK))
    assert (found.scales.dtype, found.scales.shape) == (np.float32, (48, 4))
    moved = np.abs(numbers(found, 8) - weights).reshape(48, 4, BLOCK).max(axis=-1)
    assert (moved <= found.scales * 0.5001).all()


def test_the_largest_weight_of_a_block_is_kept_and_signs_are_alike() -> None:
    block = np.linspace(-2.54, 2.54, BLOCK, dtype=np.float32)
    found = to_int8(np.stack([block, -block]))
    assert found.scales[0, 0] == pytest.approx(0.02)
    assert (found.integers[0, 0, 0], found.integers[0, 0, -1]) == (1, 255)
    assert (found.integers[0].astype(int) + found.integers[1] == 2 * ZERO_POINT).all()


def test_zeros_stay_zeros() -> None:
    found = to_int8(np.zeros((2, BLOCK), np.float32))
    assert (found.integers == ZERO_POINT).all()
    assert (found.scales > 0).all()


@pytest.mark.parametrize(
    ("kind", "take", "bits"),
    [("Q8_0", from_q8_0, 8), ("Q4_0", from_q4_0, 4), ("Q4_1", from_q4_1, 4)],
)
@pytest.mark.parametrize("spread", [1e-3, 1.0, 100.0])
def test_blocks_that_an_operator_knows_keep_their_very_numbers(
    kind: str, take: Any, bits: int, spread: float
) -> None:
    type_ = gguf.GGMLQuantizationType[kind]
    rows = gguf.quants.quantize(normal(spread), type_)
    expected: Floats = gguf.dequantize(rows, type_)
    found: Quantized = take(rows)
    assert (found.integers.dtype, found.integers.shape) == (np.uint8, (48, 4, BLOCK * bits // 8))
    assert found.scales.shape == (48, 4)
    # an offset is one sum of floats more than the file's formula has
    tolerance = 0 if found.offsets is None else spread * 1e-6
    assert np.abs(numbers(found, bits) - expected).max() <= tolerance


def test_the_lowest_of_all_8_bit_integers_is_taken_over_too() -> None:
    row = np.array([[0x00, 0x3C, *[0x80] * BLOCK]], np.uint8)  # a scale of 1, and -128
    assert (numbers(from_q8_0(row), 8) == -128).all()


def test_quantising_8_bit_blocks_again_would_move_those_that_do_not_reach_the_top() -> None:
    row = np.array([[0x00, 0x3C, *range(100, 100 - BLOCK, -1)]], np.uint8)
    floats = numbers(from_q8_0(row), 8)
    assert np.abs(numbers(to_int8(floats), 8) - floats).max() > 0.1
