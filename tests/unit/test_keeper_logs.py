import json
import os
from itertools import islice
from pathlib import Path

import pytest

from rbee_keeper.logs import shown
from rbee_shared.lifecycle.logfile import cut
from rbee_shared.limits import LINE_BYTES_MAX
from rbee_shared.narration.event import Narration
from rbee_shared.narration.line import to_human, to_json


def told(human: str) -> str:
    return to_json(Narration("queen", "queen_start", human, 0.0))


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "queen.log"


def test_narration_becomes_lines_for_people_and_other_text_stays(log: Path) -> None:
    lines = [told("starting"), "", "Traceback (most recent call last):", '{"narration": 1}']
    log.write_text("\n".join(lines) + "\n")
    assert list(shown(log, 50, follow=False, as_json=False)) == [
        "[queen     ] queen_start    : starting",
        "Traceback (most recent call last):",
        '{"narration": 1}',
    ]


def test_only_the_newest_lines_are_shown(log: Path) -> None:
    log.write_text("\n".join(f"line {number}" for number in range(10)))
    assert list(shown(log, 2, follow=False, as_json=False)) == ["line 8", "line 9"]


def test_lines_as_json_are_objects(log: Path) -> None:
    log.write_text(told("starting") + "\n" + "plain \x9b31m\n")
    lines = list(shown(log, 9, follow=False, as_json=True))
    assert all(line.isprintable() for line in lines)
    assert [json.loads(line) for line in lines] == [
        {"actor": "queen", "action": "queen_start", "text": "starting"},
        {"actor": "queen", "action": "output", "text": "plain 31m"},
    ]


def test_what_is_no_text_is_shown_printably(log: Path) -> None:
    log.write_bytes(b"\xff\xfe\x1b[2J\x00 end\r\n" + b"x" * (LINE_BYTES_MAX + 10) + b"\n")
    lines = list(shown(log, 9, follow=False, as_json=False))
    assert lines[0] == "\ufffd\ufffd end"
    assert all(line.isprintable() for line in lines)
    assert len(lines) == 3


def test_following_goes_on_where_the_file_grows(log: Path) -> None:
    log.write_text("one\n")
    lines = shown(log, 9, follow=True, as_json=False)
    assert next(lines) == "one"
    with log.open("a") as opened:
        opened.write("two\nthree\n")
    assert list(islice(lines, 2)) == ["two", "three"]


def test_following_waits_for_the_rest_of_a_line(log: Path) -> None:
    log.write_text("one\nhal")
    lines = shown(log, 9, follow=True, as_json=False)
    assert next(lines) == "one"
    with log.open("a") as opened:
        opened.write("f\n")
    assert next(lines) == "half"


def test_following_goes_on_after_the_file_was_cut(log: Path) -> None:
    log.write_text(to_human(Narration("queen", "old", "x" * 100, 0.0)) + "\n")
    lines = shown(log, 9, follow=True, as_json=False)
    assert next(lines).endswith("x")
    with log.open("a") as opened:
        assert cut(opened.fileno(), log, bytes_max=10)
        os.write(opened.fileno(), b"new\n")
    assert next(lines) == "new"
