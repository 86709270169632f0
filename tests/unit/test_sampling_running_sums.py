import numpy as np
import pytest

from rbee_worker.sampling.running_sums import RunningSums


@pytest.mark.parametrize("size", [1, 255, 256, 257, 3_000])
def test_places_are_those_of_a_plain_running_sum(size: int) -> None:
    weights = np.random.default_rng(size).integers(0, 3, size).astype(np.float32)
    weights[size // 2] = 1
    sums = RunningSums.of(weights)
    plain = np.cumsum(weights, dtype=np.float64)  # of whole numbers: without rounding
    assert sums.total == plain[-1]
    for wanted in np.arange(0, sums.total, 0.5).tolist():
        assert sums.place(wanted, "right") == int(np.searchsorted(plain, wanted, side="right"))
        if wanted:
            assert sums.place(wanted, "left") == int(np.searchsorted(plain, wanted, side="left"))


def test_a_place_has_a_weight_whatever_is_wanted() -> None:
    weights = np.zeros(1_000, np.float32)
    weights[[300, 700]] = [1e-30, 0.1]
    sums = RunningSums.of(weights)
    assert sums.place(0.0, "right") == 300
    for wanted in (0.05, sums.total, 2 * sums.total):
        assert sums.place(wanted, "right") == 700
