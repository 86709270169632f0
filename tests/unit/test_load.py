import pytest

from rbee_worker.engine.load import Rates


def test_rates_are_of_late_and_nothing_when_at_rest() -> None:
    rates = Rates()
    for hundredth in range(250):
        rates.wrote(2, hundredth / 100)
    assert rates.tokens_per_s == pytest.approx(200, rel=0.02)
    rates.rest()
    assert rates.tokens_per_s == 0
    for _ in range(50):
        rates.prefilled(100, 0.1)
    assert rates.prefill_tokens_per_s == pytest.approx(1000, rel=0.01)
    rates.prefilled(5, 0.0)
