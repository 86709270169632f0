import io
import sys

import pytest

from rbee.v1 import job_pb2
from rbee_keeper.display import opened_display
from rbee_shared.narration.event import Level, Progress
from tests.job_events import state, token, told
from tests.lives import (
    CANCELLED,
    COMPLETED,
    FAILED,
    QUEUED,
    RUNNING,
    SPINNER,
    Open,
    bar,
    draw,
)
from tests.terminal import attach


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
