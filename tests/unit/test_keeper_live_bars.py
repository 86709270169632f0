"""The bars of a live display: whose measure, how fast, and how many."""

import pytest

from rbee_shared.narration.event import Level, Progress
from tests.job_events import state, told
from tests.lives import COMPLETED, Open, bar, draw, part
from tests.terminal import attach


def test_a_bar_a_target_with_its_measure(monkeypatch: pytest.MonkeyPatch, live: Open) -> None:
    terminal = attach(monkeypatch)
    display = live()
    draw(display, bar("a", 2**20), bar("b", 50 * 2**20), bar("a", 25 * 2**20))
    first, second = terminal.screen()
    assert "fetching a ━" in first
    assert "25.0 of 100.0 MiB" in first
    assert "fetching b ━" in second
    assert "50.0 of 100.0 MiB" in second
    display.close()
    assert terminal.screen() == []


def test_a_bar_of_steps_counts_them_and_an_unknown_total_has_none(
    monkeypatch: pytest.MonkeyPatch,
    live: Open,
) -> None:
    terminal = attach(monkeypatch)
    display = live()
    draw(display, bar("a", 14, total=30, unit="steps"))
    assert "━ 14/30" in terminal.screen()[0]
    draw(display, bar("a", 14, total=0))
    assert "━" not in terminal.screen()[0]
    display.close()


def test_the_rate_and_the_time_left_are_the_tellers(
    monkeypatch: pytest.MonkeyPatch, live: Open
) -> None:
    terminal = attach(monkeypatch)
    progress = Progress(25 * 2**20, 100 * 2**20, "bytes", rate=2.0**20, remaining_s=75.0)
    draw(live(), told("fetching", action="fetch", target="a", progress=progress))
    [line] = terminal.screen()
    assert line.endswith("25.0 of 100.0 MiB, 1.0 MiB/s 0:01:15")


def test_a_narrow_terminal_has_no_room_for_a_rate(
    monkeypatch: pytest.MonkeyPatch, live: Open
) -> None:
    terminal = attach(monkeypatch, width=40)
    progress = Progress(25 * 2**20, 100 * 2**20, "bytes", rate=2.0**20, remaining_s=75.0)
    draw(live(), told("fetching org/model", action="fetch", target="a", progress=progress))
    [line] = terminal.screen()
    assert line[2:] == "fetching org/model 25.0 of 100.0 MiB"


@pytest.mark.parametrize("level", [Level.DEBUG, Level.INFO])
def test_of_200_files_the_measure_of_all_alone_leaves_a_line(
    monkeypatch: pytest.MonkeyPatch, live: Open, level: Level
) -> None:
    terminal = attach(monkeypatch)
    display = live(0.0)
    for number in range(200):
        display.event(bar("m", number * 1000, total=200_000))
        display.event(part(number, 500, level=level))
        if number == 1:
            display.redraw()
            first, second = terminal.screen()
            assert "fetching m" in first
            assert "onnx/1.onnx" in second
        display.event(part(number, 1000, level=level))
    draw(display, bar("m", 200_000, total=200_000), state(COMPLETED))
    display.close()
    assert terminal.screen() == ["✓ fetching m (195.3 KiB)"]


def test_what_is_on_the_screen_never_falls(monkeypatch: pytest.MonkeyPatch, live: Open) -> None:
    terminal = attach(monkeypatch)
    draw(display := live(), bar("m", 50 * 2**20), bar("m", 25 * 2**20))
    assert "50.0 of 100.0 MiB" in terminal.screen()[0]
    draw(display, bar("m", 51 * 2**20))
    assert "51.0 of 100.0 MiB" in terminal.screen()[0]
