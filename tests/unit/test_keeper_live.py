import io
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing

import pytest

from rbee.v1 import job_pb2
from rbee_keeper.display import opened_display
from rbee_keeper.live import LASTING_S, LiveDisplay
from rbee_shared.narration.event import Level, Progress
from tests.job_events import state, token, told
from tests.terminal import attach

Open = Callable[..., LiveDisplay]
QUEUED, RUNNING = job_pb2.JOB_STATE_QUEUED, job_pb2.JOB_STATE_RUNNING
COMPLETED, FAILED = job_pb2.JOB_STATE_COMPLETED, job_pb2.JOB_STATE_FAILED
SPINNER = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"
CANCELLED = job_pb2.JOB_STATE_CANCELLED


def bar(
    target: str, done: int, *, total: int = 100 * 2**20, unit: str = "bytes"
) -> job_pb2.JobEvent:
    progress = Progress(done, total, unit)
    return told(f"fetching {target}", target=target, action="fetch", progress=progress)


def part(
    number: int, done: int, *, rate: float = 0.0, level: Level = Level.INFO
) -> job_pb2.JobEvent:
    target = f"onnx/{number}.onnx"
    progress = Progress(done, 1000, "bytes", rate=rate)
    return told(target, target=target, action="file_download", progress=progress, level=level)


def draw(display: LiveDisplay, *events: job_pb2.JobEvent) -> None:
    for event in events:
        display.event(event)
    display.redraw()


@pytest.fixture
def live() -> Iterator[Open]:
    """How to open a live display; it is closed whatever the test finds."""
    with ExitStack() as stack:

        def opened(lasting_s: float = LASTING_S) -> LiveDisplay:
            return stack.enter_context(closing(LiveDisplay(lasting_s=lasting_s)))

        yield opened


def test_a_step_has_a_spinner_and_the_next_takes_its_place(
    monkeypatch: pytest.MonkeyPatch, live: Open
) -> None:
    terminal = attach(monkeypatch)
    display = live()
    draw(display, told("starting the queen"))
    [line] = terminal.screen()
    assert line[1:] == " starting the queen"
    assert line[0] in SPINNER
    draw(display, told("loading smollm2"))
    assert [line[2:] for line in terminal.screen()] == ["loading smollm2"]
    display.close()
    assert terminal.screen() == []


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


def test_a_step_that_lasted_leaves_a_line_and_a_short_one_none(
    monkeypatch: pytest.MonkeyPatch,
    live: Open,
) -> None:
    terminal = attach(monkeypatch)
    display = live()
    draw(
        display,
        told("fetching smollm2", action="fetch", target="m", time_s=10.0),
        told(
            "fetching smollm2",
            action="fetch",
            target="m",
            time_s=13.0,
            progress=Progress(2048, 2048, "bytes"),
        ),
        told("checking smollm2", time_s=13.1),
        told("loading smollm2", time_s=13.5),
        token("Hello", time_s=15.0),
    )
    display.close()
    assert terminal.screen() == ["✓ fetching smollm2 (2.0 KiB)", "✓ loading smollm2", "Hello"]


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


def test_a_story_told_whole_has_a_line_for_every_step(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = attach(monkeypatch)
    with opened_display(as_json=False, verbose=False, whole=True) as display:
        for event in (state(RUNNING), told("one"), told("two"), state(COMPLETED)):
            display.event(event)
    assert terminal.screen() == ["✓ one", "✓ two"]


def test_the_end_of_a_job_ends_its_last_step(monkeypatch: pytest.MonkeyPatch, live: Open) -> None:
    terminal = attach(monkeypatch)
    display = live()
    draw(display, told("converting", time_s=1.0), state(COMPLETED, time_s=4.0))
    assert terminal.screen() == ["✓ converting"]
    display.close()


@pytest.mark.parametrize("end", [FAILED, CANCELLED])
def test_a_job_that_fails_leaves_no_step_as_if_done(
    monkeypatch: pytest.MonkeyPatch, live: Open, end: job_pb2.JobState.ValueType
) -> None:
    terminal = attach(monkeypatch)
    display = live()
    draw(display, told("fetching", time_s=1.0), bar("a", 1), state(end, time_s=9.0))
    display.close()
    assert terminal.screen() == []


def test_while_nothing_is_told_it_says_that_it_works(
    monkeypatch: pytest.MonkeyPatch, live: Open
) -> None:
    terminal = attach(monkeypatch)
    display = live()
    draw(display, state(QUEUED))
    assert [line[2:] for line in terminal.screen()] == ["waiting"]
    draw(display, state(RUNNING))
    assert [line[2:] for line in terminal.screen()] == ["working"]
    draw(display, token("Hello", time_s=60.0))
    display.close()
    assert terminal.screen() == ["Hello"]


def test_the_answer_is_written_as_it_comes_and_in_order(
    monkeypatch: pytest.MonkeyPatch, live: Open
) -> None:
    terminal = attach(monkeypatch)
    pieces = ["# [red]Title[/red]\n", "\n", "- one :smile:\n", "- {two}", " 模型", "\n\tend"]
    display = live()
    draw(display, told("loading"))
    for piece in pieces:
        display.event(token(piece))
    before = terminal.getvalue()
    assert before.endswith("".join(pieces))
    display.close()
    assert terminal.getvalue() == before + "\n"


def test_the_cursor_is_there_again_and_closing_twice_is_one(
    monkeypatch: pytest.MonkeyPatch,
    live: Open,
) -> None:
    terminal = attach(monkeypatch)
    display = live()
    draw(display, told("loading"))
    display.close()
    display.close()
    written = terminal.getvalue()
    assert written.count("\x1b[?25l") == written.count("\x1b[?25h") == 1


def test_a_warning_and_an_error_stay_and_are_words(
    monkeypatch: pytest.MonkeyPatch, live: Open
) -> None:
    terminal = attach(monkeypatch)
    display = live()
    draw(
        display,
        told("loading"),
        told("the stream broke", level=Level.WARN),
        told("it is gone", level=Level.ERROR),
        told("a detail", level=Level.DEBUG),
    )
    assert [line for line in terminal.screen() if "loading" not in line] == [
        "warning: the stream broke",
        "error: it is gone",
    ]
    display.close()
    assert terminal.screen() == ["warning: the stream broke", "error: it is gone"]


def test_talk_within_an_answer_begins_a_new_line(
    monkeypatch: pytest.MonkeyPatch, live: Open
) -> None:
    terminal = attach(monkeypatch)
    display = live()
    draw(
        display,
        token("half an"),
        told("attaching again", level=Level.WARN),
        token(" ans"),
        told("moving to another worker"),
        token("wer"),
    )
    display.close()
    assert terminal.screen() == ["half an", "warning: attaching again", " ans", "wer"]


def test_data_on_stdout_stays_there_while_steps_are_drawn(
    monkeypatch: pytest.MonkeyPatch,
    live: Open,
) -> None:
    terminal = attach(monkeypatch)
    pipe = io.StringIO()
    monkeypatch.setattr(sys, "stdout", pipe)
    display = live()
    draw(display, told("starting the queen"))
    sys.stdout.write("j-1\n")
    display.event(token("raw \x1b[31m"))
    display.close()
    assert pipe.getvalue() == "j-1\nraw \x1b[31m\n"
    assert terminal.screen() == []


@pytest.mark.parametrize(
    ("width", "row"),
    [
        (47, "fetching a model with a … 25.0 of 100.0 MiB"),
        (32, "fetching … 25.0 of 100.0 MiB"),
    ],
)
def test_a_narrow_terminal_cuts_the_words_only(
    monkeypatch: pytest.MonkeyPatch, live: Open, width: int, row: str
) -> None:
    terminal = attach(monkeypatch, width=width)
    display = live()
    draw(display, bar("a model with a long name", 25 * 2**20))
    [line] = terminal.screen()
    assert line[0] in SPINNER
    assert line[2:].replace("  ", " ") == row
    assert len(line) == width - len("^C"), "an interrupt is echoed behind it, in the same row"
    draw(display, token("word " * 20))
    display.close()
    assert terminal.getvalue().endswith("word " * 20 + "\n")


def test_without_colour_there_is_none(monkeypatch: pytest.MonkeyPatch, live: Open) -> None:
    terminal = attach(monkeypatch, colour=False)
    display = live(0.0)
    draw(display, told("one"), told("careful", level=Level.WARN), state(COMPLETED))
    display.close()
    assert "\x1b[3" not in terminal.getvalue()
    assert terminal.screen() == ["warning: careful", "✓ one"]
