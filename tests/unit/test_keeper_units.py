import pytest

from rbee_keeper.units import age, clock, measure, pace, size, span
from rbee_shared.narration.event import Progress

NOW = "2026-05-01T12:00:00.000Z"
NOW_S = 1_777_636_800.0


@pytest.mark.parametrize(
    ("size_bytes", "told"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1.0 KiB"),
        (92_871_040, "88.6 MiB"),
        (3 * 2**30, "3.0 GiB"),
        (2**60, "1048576.0 TiB"),
    ],
)
def test_sizes_are_binary(size_bytes: int, told: str) -> None:
    assert size(size_bytes) == told


@pytest.mark.parametrize(
    ("progress", "told"),
    [
        (Progress(12_582_912, 92_871_040, "bytes"), "12.0 of 88.6 MiB"),
        (Progress(1024, 92_871_040, "bytes"), "1.0 KiB of 88.6 MiB"),
        (Progress(14, 30, "steps"), "14/30"),
        (Progress(14, 30), "14/30"),
        (Progress(14), ""),
    ],
)
def test_a_measure_names_its_unit_once(progress: Progress, told: str) -> None:
    assert measure(progress) == told


@pytest.mark.parametrize(
    ("progress", "told"),
    [
        (Progress(1, 2, "bytes"), ""),
        (Progress(1, 2, "bytes", rate=3_250_586), "3.1 MiB/s"),
        (Progress(1, 2, "bytes", rate=3_250_586, remaining_s=25.4), "3.1 MiB/s, 25 seconds left"),
        (Progress(1, 2, "bytes", rate=1024, remaining_s=0.2), "1.0 KiB/s, 1 second left"),
        (Progress(2, 2, "bytes", rate=1024, remaining_s=0.0), "1.0 KiB/s"),
        (Progress(1, 2, "steps", rate=5.0, remaining_s=1.0), ""),
    ],
)
def test_a_pace_is_told_where_it_is_known(progress: Progress, told: str) -> None:
    assert pace(progress) == told


@pytest.mark.parametrize(
    ("span_s", "told"),
    [(0.4, "0:00:00"), (59.6, "0:01:00"), (3_723, "1:02:03"), (360_000, "100:00:00")],
)
def test_a_clock_counts_hours(span_s: float, told: str) -> None:
    assert clock(span_s) == told


@pytest.mark.parametrize(
    ("span_s", "told"),
    [
        (0, "0 seconds"),
        (0.5, "0.5 seconds"),
        (1, "1 second"),
        (59, "59 seconds"),
        (60, "1 minute"),
        (140, "2 minutes 20 seconds"),
        (3_600, "1 hour"),
        (3_605, "1 hour"),
        (90_000, "1 day 1 hour"),
    ],
)
def test_a_span_has_at_most_two_units(span_s: float, told: str) -> None:
    assert span(span_s) == told


@pytest.mark.parametrize(
    ("later_s", "told"),
    [
        (0, "just now"),
        (-0.9, "just now"),
        (1, "1 second ago"),
        (59, "59 seconds ago"),
        (60, "1 minute ago"),
        (200, "3 minutes ago"),
        (7_200, "2 hours ago"),
        (86_400 * 40, "1 month ago"),
        (86_400 * 800, "2 years ago"),
        (-300, "in 5 minutes"),
    ],
)
def test_a_time_is_told_as_seen_from_now(later_s: float, told: str) -> None:
    assert age(NOW, NOW_S + later_s) == told
