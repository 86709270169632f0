import numpy as np
import pytest

from rbee_worker.sampling.candidates import Floats, likeliest, narrow


def logits_of(shape: str, size: int) -> Floats:
    random = np.random.default_rng(size)
    logits = random.standard_normal(size).astype(np.float32)
    match shape:
        case "rounded":
            return (np.round(logits * 2) / 2).astype(np.float32)
        case "flat":
            return np.zeros_like(logits)
        case "sorted":
            return np.sort(logits)
        case "mostly forbidden":
            logits[random.random(size) < 0.995] = -np.inf
            return logits
        case _:
            return logits


@pytest.mark.parametrize("shape", ["ragged", "rounded", "flat", "sorted", "mostly forbidden"])
@pytest.mark.parametrize("size", [1, 63, 1_000, 4_097, 20_000])
@pytest.mark.parametrize("count", [1, 2, 40, 1_024])
def test_the_likeliest_are_those_of_a_full_sort(shape: str, size: int, count: int) -> None:
    logits = logits_of(shape, size)
    expected = np.argsort(-logits, kind="stable")[:count]
    expected = expected[logits[expected] > -np.inf]
    assert likeliest(logits, count).tolist() == expected.tolist()


@pytest.mark.parametrize("shape", ["ragged", "rounded", "mostly forbidden"])
def test_what_is_narrowed_to_is_complete_down_to_its_least(shape: str) -> None:
    logits = logits_of(shape, 20_000)
    indices = narrow(logits, 40)
    assert indices.tolist() == np.flatnonzero(logits >= logits[indices].min()).tolist()


def test_narrowing_leaves_few() -> None:
    assert len(narrow(logits_of("ragged", 49_152), 40)) < 80
    assert len(narrow(logits_of("ragged", 49_152), 1_024)) < 2_048
