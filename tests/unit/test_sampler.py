from collections import Counter

import numpy as np
import pytest

from rbee_worker.sampling.sampler import NumericFaultError, sample, uniform

LOGITS = np.array([1.0, 3.0, 2.0, 0.0], np.float32)


def draw(
    logits: "np.ndarray[tuple[int], np.dtype[np.float32]]", count: int, **how: float
) -> Counter[int]:
    settings = {"temperature": 1.0, "top_k": 0, "top_p": 1.0, **how}
    return Counter(
        sample(
            logits,
            temperature=settings["temperature"],
            top_k=int(settings["top_k"]),
            top_p=settings["top_p"],
            uniform_value=uniform(7, position),
        )
        for position in range(count)
    )


def test_temperature_zero_takes_the_likeliest() -> None:
    assert draw(LOGITS, 20, temperature=0) == {1: 20}


def test_top_k_and_top_p_keep_the_likeliest() -> None:
    assert set(draw(LOGITS, 300, top_k=2)) == {1, 2}
    assert set(draw(LOGITS, 300, top_p=0.6)) == {1}
    assert set(draw(LOGITS, 300, top_p=0.7)) == {1, 2}
    assert set(draw(LOGITS, 300, top_k=3, top_p=0.99)) == {0, 1, 2}


@pytest.mark.parametrize("how", [{}, {"top_k": 4}, {"top_p": 0.9999}])
def test_tokens_come_as_often_as_their_probability_says(how: dict[str, float]) -> None:
    count = 4000
    found = draw(LOGITS, count, **how)
    expected = np.exp(LOGITS) / np.exp(LOGITS).sum()
    for token, probability in enumerate(expected):
        assert abs(found[token] / count - probability) < 0.03


def test_a_wide_vocabulary_is_cut_as_exactly_as_a_small_one() -> None:
    logits = np.zeros(5000, np.float32)  # flat: top_p reaches beyond the first look
    found = draw(logits, 2000, top_p=0.5)
    assert max(found) < 2500
    assert len(found) > 1000


def test_randomness_is_a_function_of_seed_and_position_alone() -> None:
    assert uniform(1, 5) == uniform(1, 5)
    assert len({uniform(seed, position) for seed in range(20) for position in range(20)}) == 400
    assert 0 <= uniform(-1, 0) < 1


def test_logits_that_are_not_numbers_are_refused() -> None:
    for bad in (np.nan, np.inf):
        logits = LOGITS.copy()
        logits[2] = bad
        with pytest.raises(NumericFaultError):
            draw(logits, 1)
    with pytest.raises(NumericFaultError):
        draw(np.full(4, -np.inf, np.float32), 1)


def test_logits_are_left_as_they_were() -> None:
    logits = LOGITS.copy()
    draw(logits, 5, top_k=2, top_p=0.5)
    assert (logits == LOGITS).all()
