"""What is told of a transfer, its speed and its limits, with a clock that is turned by hand."""

import pytest

from rbee_hive.transfer.backoff import wait_s
from rbee_hive.transfer.progress import FileProgress, Speed, Tally
from rbee_hive.transfer.rate import BURST_S, Rate


class Clock:
    """A clock that is set."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def test_a_tally_never_falls_when_a_file_is_fetched_again() -> None:
    tally = Tally(("a", "b"), (100, 50))
    tally.begin([30, 0], 0.0)
    assert tally.now(0.0).done_bytes == 30
    tally.open(0, 0.0)
    tally.reach(0, 90)
    tally.reach(0, 10)
    told = tally.now(1.0)
    assert (told.done_bytes, told.total_bytes, told.files_done) == (90, 150, 0)
    assert told.files == (FileProgress("a", 90, 100),)
    tally.close(0, is_whole=True)
    told = tally.now(2.0)
    assert (told.done_bytes, told.files_done, told.files_total) == (100, 1, 2)
    assert told.files == ()


def test_the_time_left_follows_the_speed_and_is_unknown_without_one() -> None:
    tally = Tally(("a",), (1_000,))
    tally.begin([200], 0.0)
    assert tally.now(0.0).eta_s is None
    tally.open(0, 0.0)
    tally.came(0, 100)
    tally.reach(0, 300)
    told = tally.now(1.0)
    assert told.bytes_per_s == pytest.approx(100)
    assert told.eta_s == pytest.approx(7)


def test_each_file_at_work_has_a_speed_of_its_own() -> None:
    tally = Tally(("a", "b"), (1_000, 1_000))
    tally.begin([0, 0], 0.0)
    tally.open(0, 0.0)
    tally.came(0, 100)
    tally.reach(0, 100)
    tally.now(1.0)
    tally.open(1, 1.0)
    tally.came(1, 300)
    tally.reach(1, 300)
    first, second = tally.now(2.0).files
    assert first.bytes_per_s < 100  # nothing came of it for a while
    assert (second.bytes_per_s, second.eta_s) == (pytest.approx(300), pytest.approx(700 / 300))


def test_a_speed_is_smooth_and_falls_when_nothing_comes() -> None:
    speed = Speed()
    speed.begin(0.0)
    for second in range(1, 21):
        speed.add(1_000)
        assert speed.at(float(second)) == pytest.approx(1_000)
    speed.add(5_000)
    assert 1_000 < speed.at(21.0) < 2_000
    assert speed.at(60.0) < 1


def test_a_rate_lets_pass_what_it_says() -> None:
    clock = Clock()
    rate = Rate(1_000, clock=clock)
    passed = 0
    for _ in range(1_000):
        if rate.wait_s() == 0:
            rate.take(64)
            passed += 64
        clock.now_s += 0.01
    assert passed == pytest.approx(10_000, rel=0.02)


def test_a_rate_saves_no_more_than_a_burst() -> None:
    clock = Clock()
    rate = Rate(1_000, clock=clock)
    clock.now_s += 3_600
    rate.take(int(1_000 * BURST_S) + 500)
    assert rate.wait_s() == pytest.approx(0.5)


def test_a_rate_can_be_changed_and_lifted_while_somebody_waits() -> None:
    clock = Clock()
    rate = Rate(1_000, clock=clock)
    rate.take(4_000)
    assert rate.wait_s() == pytest.approx(4)
    rate.set(4_000)
    assert rate.wait_s() == pytest.approx(1)
    rate.set(0)
    assert rate.wait_s() == 0
    rate.take(10**9)
    rate.set(1_000)
    assert rate.wait_s() == 0


def test_a_wait_doubles_has_jitter_and_is_as_long_as_was_asked_for() -> None:
    assert [wait_s(count, 0.1, 0.0) for count in (1, 2, 3)] == pytest.approx([0.1, 0.2, 0.4])
    assert wait_s(1, 0.1, 1.0) == pytest.approx(0.05)
    assert wait_s(1, 0.1, 0.5, after_s=7.0) == 7
