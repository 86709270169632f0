import subprocess
import sys

import pytest

from rbee_keeper.display import PROGRESS_EVERY_S, STEPS_MAX, PlainDisplay, opened_display
from rbee_shared.narration.event import Level, Progress
from tests.job_events import token, told
from tests.terminal import attach

Captured = pytest.CaptureFixture[str]


class Clock:
    """The time, as a test sets it."""

    def __init__(self) -> None:
        self.now_s = 1_000.0

    def __call__(self) -> float:
        return self.now_s


def test_by_default_debug_is_left_out_and_a_level_is_a_word(capsys: Captured) -> None:
    display = PlainDisplay(verbose=False)
    for level in Level:
        display.event(told(f"at {level.name}", action="step", level=level))
    assert capsys.readouterr().err.splitlines() == [
        "at INFO",
        "warning: at WARN",
        "error: at ERROR",
    ]


def test_verbose_shows_everything_with_who_told_it(capsys: Captured) -> None:
    display = PlainDisplay(verbose=True)
    for level in Level:
        display.event(told(f"at {level.name}", action="step", level=level))
    progress = Progress(1024, 2048, "bytes")
    for _ in range(2):
        display.event(told("fetching", action="step", progress=progress))
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "[hive      ] step           : at DEBUG"
    assert [line.rpartition(": ")[2] for line in lines[1:4]] == ["at INFO", "at WARN", "at ERROR"]
    assert lines[4:] == ["[hive      ] step           : fetching (1.0 of 2.0 KiB)"] * 2


def test_progress_is_paced_and_ends_with_its_last(capsys: Captured) -> None:
    clock = Clock()
    display = PlainDisplay(verbose=False, clock=clock)
    for done in range(1, 101):
        display.event(
            told("fetching", action="step", progress=Progress(done * 1024, 102_400, "bytes"))
        )
        clock.now_s += PROGRESS_EVERY_S / 30
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "fetching (1.0 of 100.0 KiB)"
    assert lines[-1] == "fetching (100.0 of 100.0 KiB)"
    assert len(lines) == 5


def test_the_pace_is_told_with_the_measure(capsys: Captured) -> None:
    display = PlainDisplay(verbose=False, clock=Clock())
    progress = Progress(1024, 2048, "bytes", rate=512.0, remaining_s=2.0)
    display.event(told("fetching", action="step", progress=progress))
    assert capsys.readouterr().err == "fetching (1.0 of 2.0 KiB, 512 B/s, 2 seconds left)\n"


@pytest.mark.parametrize("verbose", [False, True])
def test_how_far_each_file_is_is_told_on_request_only(capsys: Captured, *, verbose: bool) -> None:
    display = PlainDisplay(verbose=verbose, clock=Clock())
    for number in range(3):
        progress = Progress(1, 2, "bytes")
        display.event(
            told("fetching", action="file_download", target=f"f{number}", progress=progress)
        )
    display.event(told("f1 is damaged", action="file_download", level=Level.WARN))
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == (4 if verbose else 1)
    assert lines[-1].endswith("f1 is damaged")


def test_the_last_progress_is_told_though_it_comes_at_once_and_only_once(capsys: Captured) -> None:
    display = PlainDisplay(verbose=False, clock=Clock())
    for done in (1, 2, 3, 3, 3):
        display.event(told(f"layer {done}", action="step", progress=Progress(done, 3, "steps")))
    assert capsys.readouterr().err.splitlines() == ["layer 1", "layer 3"]


def test_steps_are_paced_apart(capsys: Captured) -> None:
    display = PlainDisplay(verbose=False, clock=Clock())
    for target in ("a", "b", "a", "b"):
        display.event(
            told(f"fetching {target}", action="step", target=target, progress=Progress(1))
        )
    assert capsys.readouterr().err.splitlines() == ["fetching a", "fetching b"]


def test_of_a_flood_of_steps_only_the_newest_are_remembered(capsys: Captured) -> None:
    display = PlainDisplay(verbose=False, clock=Clock())
    for number in [*range(STEPS_MAX + 1), STEPS_MAX, 0]:
        display.event(
            told(f"step {number}", action="step", target=str(number), progress=Progress(1))
        )
    lines = capsys.readouterr().err.splitlines()
    assert lines[-2:] == [f"step {STEPS_MAX}", "step 0"]


def test_the_answer_is_alone_on_stdout_and_unchanged(capsys: Captured) -> None:
    text = "[red]\x1b[31mone\r\n\ttwo\x9b[/red] :smile: 模型"
    with opened_display(as_json=False, verbose=False) as display:
        display.event(told("loading"))
        for character in text:
            display.event(token(character))
        display.event(told("late", level=Level.WARN))
    captured = capsys.readouterr()
    assert captured.out == text + "\n"
    assert captured.err == "loading\nwarning: late\n"


def test_on_one_terminal_talk_begins_a_new_line(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = attach(monkeypatch)
    display = PlainDisplay(verbose=False)
    display.event(token("half an"))
    display.event(told("attaching again", level=Level.WARN))
    display.event(token(" answer"))
    display.close()
    display.close()
    assert terminal.screen() == ["half an", "warning: attaching again", " answer"]


def test_a_terminal_that_can_take_nothing_back_is_drawn_plainly(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    terminal = attach(monkeypatch)
    monkeypatch.setenv("TERM", "dumb")
    with opened_display(as_json=False, verbose=False) as display:
        display.event(told("loading"))
    assert terminal.getvalue() == "loading\n"


def test_a_pipe_needs_no_drawing_library() -> None:
    # in a process of its own: others of this one have loaded it
    code = (
        "import sys; from rbee_keeper.display import opened_display\n"
        "with opened_display(as_json=False, verbose=False): pass\n"
        "sys.exit('rich.progress' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], check=False, stderr=subprocess.PIPE)
    assert done.returncode == 0, done.stderr
