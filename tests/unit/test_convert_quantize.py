"""Int8 blocks: how far a weight may move, and the forms that come out."""

import numpy as np
import pytest

from rbee_worker.convert.quantize import BLOCK, ROWS_AT_ONCE, ZERO_POINT, to_int8


@pytest.mark.parametrize("spread", [1e-6, 0.02, 1.0, 1e4])
def test_no_weight_moves_by_more_than_half_a_step(spread: float) -> None:
    weights = np.random.default_rng(1).normal(0, spread, (48, 4 * BLOCK)).astype(np.float32)
    quantized, scales = to_int8(weights)
    assert (quantized.dtype, quantized.shape) == (np.uint8, (48, 4, BLOCK))
    assert (scales.dtype, scales.shape) == (np.float32, (48, 4))
    back = (quantized.astype(np.float32) - ZERO_POINT) * scales[..., None]
    moved = np.abs(back.reshape(weights.shape) - weights).reshape(48, 4, BLOCK).max(axis=-1)
    assert (moved <= scales * 0.5001).all()


def test_the_largest_weight_of_a_block_is_kept_and_signs_are_alike() -> None:
    block = np.linspace(-2.54, 2.54, BLOCK, dtype=np.float32)
    quantized, scales = to_int8(np.stack([block, -block]))
    assert scales[0, 0] == pytest.approx(0.02)
    assert (quantized[0, 0, 0], quantized[0, 0, -1]) == (1, 255)
    assert (quantized[0].astype(int) + quantized[1] == 2 * ZERO_POINT).all()


def test_zeros_stay_zeros() -> None:
    quantized, scales = to_int8(np.zeros((2, BLOCK), np.float32))
    assert (quantized == ZERO_POINT).all()
    assert (scales > 0).all()


def test_rows_do_not_know_one_another() -> None:
    rows = ROWS_AT_ONCE + 3
    weights = np.random.default_rng(2).normal(0, 1, (rows, BLOCK)).astype(np.float32)
    quantized, scales = to_int8(weights)
    last, last_scales = to_int8(weights[-5:])
    assert (quantized[-5:] == last).all()
    assert (scales[-5:] == last_scales).all()
