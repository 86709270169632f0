"""The steps in which keys and values are kept: wide enough, never zero, the same everywhere."""

import numpy as np
import pytest
from numpy.typing import NDArray

from rbee_worker.convert.cache_scales import (
    FAINTEST,
    KEY_MARGIN,
    LEVELS,
    SILENT,
    STEPS_PER_OCTAVE,
    VALUE_MARGIN,
    key_reach,
    scales_of,
    value_reach,
)

Floats = NDArray[np.float32]
STEP = 2 ** (1 / STEPS_PER_OCTAVE)


def some(*shape: int) -> Floats:
    return np.random.default_rng(1).normal(0, 1, shape).astype(np.float32)


def test_the_reach_is_of_every_number_of_a_head_with_a_margin() -> None:
    values = some(3, 50, 16)
    assert value_reach(values).shape == (3, 16)
    assert (value_reach(values)[:, None] >= np.abs(values)).all()
    assert value_reach(values)[2, 5] == pytest.approx(np.abs(values[2, :, 5]).max() * VALUE_MARGIN)


def test_no_turn_takes_a_key_beyond_its_reach() -> None:
    keys = some(2, 40, 16)
    lengths = key_reach(keys) / np.float32(KEY_MARGIN)
    first, second = np.split(keys, 2, axis=-1)
    for angle in np.linspace(0, 2 * np.pi, 30, dtype=np.float32):
        turned = [
            first * np.cos(angle) - second * np.sin(angle),
            first * np.sin(angle) + second * np.cos(angle),
        ]
        assert (np.abs(np.concatenate(turned, axis=-1)) <= lengths[:, None] * 1.0001).all()


def test_scales_are_rounded_up_by_a_step_at_most() -> None:
    reach = np.abs(some(4, 32)) + np.float32(0.1)
    scales = scales_of(reach)
    assert (scales.dtype, scales.shape) == (np.float32, (4, 1, 32))
    beyond = scales[:, 0] * LEVELS / reach
    assert (beyond >= 0.9999).all()
    assert (beyond <= STEP * 1.0001).all()


def test_scales_are_on_a_coarse_grid_so_that_rounding_seldom_moves_them() -> None:
    reach = np.abs(some(4, 32)) + np.float32(0.1)
    scales = scales_of(reach)
    steps = np.log2(scales.astype(np.float64)) * STEPS_PER_OCTAVE
    assert np.abs(steps - np.rint(steps)).max() < 1e-5
    assert (scales_of(reach * np.float32(1 + 1e-6)) != scales).mean() < 0.01


def test_what_is_silent_gets_a_scale_that_the_others_allow() -> None:
    reach = np.array([[4.0, 0.0, 1e-30, 0.01]], np.float32)
    scales = scales_of(reach)[0, 0]
    least = 4.0 / LEVELS * FAINTEST
    assert scales[1] == scales[2]
    assert least * 0.9999 <= scales[1] <= least * STEP * 1.0001
    assert scales[3] > scales[1]


def test_where_all_is_zero_scales_are_not() -> None:
    assert (scales_of(np.zeros((2, 16), np.float32)) == np.float32(SILENT)).all()


@pytest.mark.parametrize("size", [1e-6, 1.0, 1e6])
def test_what_is_kept_is_off_by_half_a_step_at_most(size: float) -> None:
    values = some(2, 100, 16) * np.float32(size)
    scales = scales_of(value_reach(values))
    kept = np.clip(np.rint(values / scales), -LEVELS, LEVELS) * scales
    assert (np.abs(kept - values) <= scales * 0.5001).all()
