import io
import json
import sys

import pytest

from rbee_shared.contracts import wire
from rbee_shared.narration import line
from rbee_shared.narration.event import Level, Narration, Progress
from rbee_shared.narration.redact import clean

FULL = Narration(
    actor="hive",
    action="model_download",
    human="fetching grüße: 3 of 9",
    time_s=12.5,
    target="tiny",
    level=Level.WARN,
    fields={"model": "tiny", "done": 3, "ratio": 0.25},
    progress=Progress(3, 9, "bytes"),
    correlation_id="c-1",
    cute="bzz",
    story="said she",
)


def test_the_json_form_parses_back_whole() -> None:
    assert line.parse(line.to_json(FULL), actor="w-1") == FULL


def test_the_form_for_people_is_padded_and_parses_back() -> None:
    text = line.to_human(Narration("queen", "spawn_start", "starting: now", 1.0))
    assert text == "[queen     ] spawn_start    : starting: now"
    parsed = line.parse(text, actor="w-1")
    assert (parsed.actor, parsed.action, parsed.human) == ("queen", "spawn_start", "starting: now")


def test_longer_names_than_the_columns_parse_back() -> None:
    text = line.to_human(Narration("a" * 20, "b" * 30, "c", 1.0))
    parsed = line.parse(text, actor="w-1")
    assert (parsed.actor, parsed.action, parsed.human) == ("a" * 20, "b" * 30, "c")


def test_other_output_is_passed_on_at_debug_level() -> None:
    parsed = line.parse("Traceback (most recent call last):", actor="w-1")
    assert (parsed.actor, parsed.action, parsed.level) == ("w-1", "output", Level.DEBUG)
    assert parsed.human == "Traceback (most recent call last):"


def narration_with(**values: object) -> str:
    return json.dumps(
        {"narration": {"actor": "a", "action": "b", "human": "c", "time_s": 1.0, **values}}
    )


@pytest.mark.parametrize(
    "text",
    [
        '{"narration"',
        '{"narration": 5}',
        '{"narration": []}',
        '{"narration": {}}',
        '{"narration": ' + "[" * 60_000,
        '{"narration": ' + "9" * 60_000 + "}",
        narration_with(actor=None),
        narration_with(human=["x"]),
        narration_with(time_s="now"),
        narration_with(level=99),
        narration_with(level="x"),
        narration_with(fields=[1]),
        narration_with(fields={"a": None}),
        narration_with(fields={"a": {"b": 1}}),
        narration_with(progress=3),
        narration_with(progress={"done": "x"}),
        narration_with(progress={"else": 1}),
        narration_with(story=1),
        "[" * 60_000,
        "[a" + " " * 60_000,
    ],
)
def test_whatever_a_child_writes_is_output(text: str) -> None:
    parsed = line.parse(text, actor="w-1")
    assert (parsed.actor, parsed.action, parsed.human) == ("w-1", "output", text)


@pytest.mark.parametrize(
    "text",
    [
        narration_with(human="\ud800", target="\udfff", more="ignored"),
        narration_with(time_s=float("nan")),
        narration_with(time_s=float("-inf")),
        narration_with(time_s=1e300),
        narration_with(fields={"a": 2**70, "b": float("inf"), "c": "\ud800", "ß": 1}),
        narration_with(progress={"done": -5, "total": 2**70, "unit": "\ud800"}),
    ],
)
def test_whatever_is_parsed_can_be_put_on_the_wire(text: str) -> None:
    parsed = line.parse(text, actor="w-1")
    assert parsed.action == "b"
    wire.narration_to_proto(clean(parsed)).SerializeToString()


def test_a_process_writes_the_form_that_its_parent_asked_for(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv(line.FORMAT_VARIABLE, raising=False)
    line.write_line(FULL)
    monkeypatch.setenv(line.FORMAT_VARIABLE, line.JSON_FORMAT)
    line.write_line(FULL)
    assert capsys.readouterr().out == line.to_human(FULL) + "\n" + line.to_json(FULL) + "\n"


def test_telling_survives_the_parent(monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken(io.StringIO):
        def flush(self) -> None:
            raise BrokenPipeError

    monkeypatch.setattr(sys, "stdout", Broken())
    line.write_line(FULL)
