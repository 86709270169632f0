"""In whose voice the keeper tells: flag over environment over file, else human."""

import io
import json
import sys
from contextlib import closing
from pathlib import Path

import pytest
import typer

from rbee.v1 import job_pb2
from rbee_keeper.__main__ import USAGE, run
from rbee_keeper.display import JsonDisplay, PlainDisplay, opened_display
from rbee_keeper.live import CHECK, CHECK_ASCII, CHECK_CUTE, LiveDisplay
from rbee_keeper.options import parse_mode
from rbee_keeper.voice import chosen, voiced
from rbee_shared.contracts import wire
from rbee_shared.errors import InvalidArgumentError
from rbee_shared.narration.event import Level, Mode, Narration, Progress
from rbee_shared.narration.line import parse, to_json
from rbee_shared.narration.narrate import emit, heard_by, narrate
from rbee_shared.narration.redact import REDACTED
from tests.job_events import state, token
from tests.terminal import HOSTILE, attach

Captured = pytest.CaptureFixture[str]
SPOKEN = Narration(
    "hive", "worker_spawn", "starting w-1", 0.0, cute="w-1 hatches", story='"Up!" says w-1'
)
BY_MODE = {Mode.HUMAN: SPOKEN.human, Mode.CUTE: SPOKEN.cute, Mode.STORY: SPOKEN.story}
every_mode = pytest.mark.parametrize("mode", Mode)


def event(narration: Narration) -> job_pb2.JobEvent:
    return job_pb2.JobEvent(narration=wire.narration_to_proto(narration))


@pytest.fixture
def settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The settings file of somebody who has set nothing."""
    monkeypatch.delenv("RBEE_KEEPER_MODE", raising=False)
    monkeypatch.setenv("RBEE_HOME", str(tmp_path))
    file = tmp_path / "config" / "config.toml"
    file.parent.mkdir()
    return file


def test_the_flag_is_over_the_environment_over_the_file_over_human(
    monkeypatch: pytest.MonkeyPatch, settings: Path
) -> None:
    assert chosen(None) == Mode.HUMAN
    settings.write_text('[keeper]\nmode = "story"\n')
    assert chosen(None) == Mode.STORY
    monkeypatch.setenv("RBEE_KEEPER_MODE", " Cute ")
    assert chosen(None) == Mode.CUTE
    assert chosen(Mode.HUMAN) == Mode.HUMAN


@pytest.mark.parametrize("text", ['"rude"', '""', "3", "true", '["cute"]'])
def test_a_mode_that_there_is_not_is_refused_with_those_there_are(
    settings: Path, text: str
) -> None:
    settings.write_text(f"[keeper]\nmode = {text}\n")
    with pytest.raises(InvalidArgumentError, match="not one of human, cute, story") as error:
        chosen(None)
    assert error.value.reason == "SETTING_MALFORMED"


def test_the_flag_takes_the_three_modes_in_any_case() -> None:
    assert [parse_mode(text) for text in ("human", "CUTE", " story ")] == list(Mode)
    with pytest.raises(typer.BadParameter, match="not one of human, cute, story"):
        parse_mode("rude")


def test_wrong_usage_of_the_flag_is_told_as_such(capsys: Captured) -> None:
    assert run(["run", "--mode", "rude", "smollm2", "hi"]) == USAGE
    assert capsys.readouterr().err.splitlines() == [
        "error: invalid value for `--mode`: `rude` is not one of human, cute, story",
        "hint: `rbee run --help` shows how",
    ]


@every_mode
def test_a_narration_is_told_in_its_voice(mode: Mode) -> None:
    assert voiced(SPOKEN, mode).human == BY_MODE[mode]


@every_mode
def test_a_narration_without_that_voice_is_told_as_to_humans(mode: Mode) -> None:
    plain = Narration("hive", "a", "starting w-1", 0.0)
    assert voiced(plain, mode) is plain


@every_mode
def test_a_plain_line_is_in_that_voice(capsys: Captured, mode: Mode) -> None:
    with opened_display(as_json=False, verbose=False, mode=mode) as display:
        display.event(event(SPOKEN))
        display.event(token("the answer"))
    captured = capsys.readouterr()
    assert captured.err == BY_MODE[mode] + "\n"
    assert captured.out == "the answer\n"


def test_a_level_stays_a_word_and_a_measure_a_number(capsys: Captured) -> None:
    display = PlainDisplay(verbose=False, mode=Mode.CUTE)
    display.narrate(Narration("a", "b", "gone", 0.0, level=Level.WARN, cute="flown", story='"Bye"'))
    progress = Progress(1024, 2048, "bytes")
    display.narrate(Narration("a", "c", "fetching", 0.0, progress=progress, cute="flying"))
    assert capsys.readouterr().err.splitlines() == [
        "warning: flown",
        "flying (1.0 of 2.0 KiB)",
    ]


def test_with_verbose_who_told_it_stays(capsys: Captured) -> None:
    PlainDisplay(verbose=True, mode=Mode.STORY).narrate(SPOKEN)
    assert capsys.readouterr().err == '[hive      ] worker_spawn   : "Up!" says w-1\n'


def test_a_program_gets_every_voice_whatever_the_mode(capsys: Captured) -> None:
    display = JsonDisplay(mode=Mode.CUTE)
    display.event(event(SPOKEN))
    display.narrate(SPOKEN)
    captured = capsys.readouterr()
    told = json.loads(captured.out)["narration"]
    assert [told[name] for name in ("human", "cute", "story")] == list(BY_MODE.values())
    assert captured.err == "w-1 hatches\n"


@pytest.mark.parametrize(
    ("mode", "mark"), [(Mode.HUMAN, CHECK), (Mode.CUTE, CHECK_CUTE), (Mode.STORY, CHECK)]
)
def test_a_live_step_leaves_its_line_in_that_voice(
    monkeypatch: pytest.MonkeyPatch, mode: Mode, mark: str
) -> None:
    terminal = attach(monkeypatch)
    with opened_display(as_json=False, verbose=False, whole=True, mode=mode) as display:
        display.event(event(SPOKEN))
        display.event(state(job_pb2.JOB_STATE_COMPLETED, time_s=1.0))
    assert terminal.screen() == [f"{mark} {BY_MODE[mode]}"]


def test_a_terminal_without_the_bee_gets_a_plus(monkeypatch: pytest.MonkeyPatch) -> None:
    class Ascii(io.StringIO):
        encoding = "ascii"

    terminal = Ascii()
    monkeypatch.setattr(sys, "stderr", terminal)
    with closing(LiveDisplay(lasting_s=0.0, mode=Mode.CUTE)) as display:
        display.event(event(SPOKEN))
        display.event(state(job_pb2.JOB_STATE_COMPLETED, time_s=1.0))
    assert f"{CHECK_ASCII} w-1 hatches\n" in terminal.getvalue()
    assert CHECK_CUTE not in terminal.getvalue()


@pytest.mark.parametrize(
    ("mode", "words"), [(Mode.HUMAN, "working"), (Mode.CUTE, "buzzing"), (Mode.STORY, '"Let me')]
)
def test_what_is_shown_before_anything_is_told_is_in_that_voice(
    monkeypatch: pytest.MonkeyPatch, mode: Mode, words: str
) -> None:
    terminal = attach(monkeypatch)
    with closing(LiveDisplay(mode=mode)) as display:
        display.event(state(job_pb2.JOB_STATE_RUNNING))
        display.redraw()
        [line] = terminal.screen()
    assert line[2:].startswith(words)


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
@every_mode
def test_no_voice_commands_a_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: Captured, mode: Mode, text: str
) -> None:
    hostile = Narration("a", "b", text, 0.0, cute=text, story=text)
    PlainDisplay(verbose=False, mode=mode).narrate(hostile)
    assert capsys.readouterr().err.removesuffix("\n").isprintable()
    terminal = attach(monkeypatch)
    with closing(LiveDisplay(lasting_s=0.0, mode=mode)) as display:
        display.event(event(hostile))
        display.redraw()
        assert len(terminal.screen()) == 1


def test_a_secret_that_a_child_prints_is_told_in_no_voice() -> None:
    told: list[Narration] = []
    dirty = "\x1b[31mtoken=abc.def-ghi"
    lines = [
        to_json(Narration("w", "a", dirty, 1.0, dirty, cute=dirty, story=dirty)),
        f"[worker    ] load           : {dirty}",
        f"urllib3: GET https://user:{dirty}@hub",
        "Authorization: Bearer abc.def-ghi",
    ]
    with heard_by(told.append):
        for line in lines:
            emit(parse(line, actor="worker"))
    assert len(told) == len(lines)
    texts = [text for each in told for text in (each.human, each.cute, each.story, each.target)]
    assert not [text for text in texts if "abc" in text or not text.isprintable()]
    assert all(REDACTED in each.human for each in told)
    assert REDACTED in told[0].cute
    assert REDACTED in told[0].story


def test_a_field_gets_into_no_voice_uncleaned() -> None:
    told: list[Narration] = []
    with heard_by(told.append):
        narrate("a", "{why}", cute="oh {why}", story='"{why}"', why="a\x00\n\u202ehf_abcdefghijkl")
    assert [(each.human, each.cute, each.story) for each in told] == [
        (f"a {REDACTED}", f"oh a {REDACTED}", f'"a {REDACTED}"')
    ]


def test_nobody_is_told_after_the_block() -> None:
    told: list[Narration] = []
    with heard_by(told.append), heard_by(told.append):
        narrate("a", "twice")
    narrate("a", "never")
    assert [each.human for each in told] == ["twice", "twice"]
