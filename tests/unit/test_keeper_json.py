import json
import sys

import pytest

from rbee.v1 import job_pb2
from rbee_keeper.display import JsonDisplay, opened_display
from rbee_keeper.document import shown, to_json
from rbee_shared.narration.event import Level, Narration, Progress
from tests.job_events import state, token, told

Captured = pytest.CaptureFixture[str]


def test_every_event_is_an_object_on_a_line(capsys: Captured) -> None:
    events = [
        state(job_pb2.JOB_STATE_RUNNING, time_s=1.5),
        told("fetching", target="m", progress=Progress(1, 2, "bytes")),
        told("a detail", level=Level.DEBUG),
        token("one\ntwo"),
    ]
    with opened_display(as_json=True, verbose=False) as display:
        for event in events:
            display.event(event)
    captured = capsys.readouterr()
    lines = captured.out.splitlines()
    assert captured.err == ""
    documents = [json.loads(line) for line in lines]
    assert [next(iter(each.keys() - {"create_time"})) for each in documents] == [
        "state",
        "narration",
        "narration",
        "completion",
    ]
    assert documents[0] == {
        "create_time": "1970-01-01T00:00:01.500Z",
        "state": {"state": "JOB_STATE_RUNNING"},
    }
    assert documents[1]["narration"]["progress"] == {"done": "1", "total": "2", "unit": "bytes"}


def test_progress_has_its_rate_and_the_time_that_is_left(capsys: Captured) -> None:
    progress = Progress(1, 2, "bytes", rate=1024.5, remaining_s=2.5)
    with opened_display(as_json=True, verbose=False) as display:
        display.event(told("fetching", target="m", progress=progress))
    [line] = capsys.readouterr().out.splitlines()
    told_of_it = json.loads(line)["narration"]["progress"]
    assert (told_of_it["rate"], told_of_it["remaining_duration"]) == (1024.5, "2.500s")


def test_talk_of_no_job_goes_to_stderr_and_details_nowhere(capsys: Captured) -> None:
    display = JsonDisplay()
    for level in (Level.DEBUG, Level.INFO):
        display.narrate(Narration("queen", "x", f"at {level.name}", 0.0, level=level))
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", "at INFO\n")


def test_a_document_shows_text_as_it_is_but_for_what_cannot_be_seen() -> None:
    text = "modèle 模型 \U0001f41d"
    assert to_json(text) == f'"{text}"'
    unseen = "".join(map(chr, (*range(0x20), *range(0x7F, 0xA0), 0x202E, 0x2028, 0xFEFF, 0xE0041)))
    written = to_json({unseen: unseen})
    assert written.isprintable()
    assert written.isascii()
    assert json.loads(written) == {unseen: unseen}


def test_half_a_character_can_be_written() -> None:
    written = to_json("\ud83d")
    assert written.encode() == b'"\\ud83d"'
    assert json.loads(written) == "\ud83d"


def test_what_is_escaped_already_stays() -> None:
    assert shown(r'"\u009b \\u009b \n"') == r'"\u009b \\u009b \n"'


def test_an_indented_document_keeps_its_lines(capsys: Captured) -> None:
    sys.stdout.write(to_json({"a": [1]}, indent=2))
    assert capsys.readouterr().out.splitlines() == ["{", '  "a": [', "    1", "  ]", "}"]
