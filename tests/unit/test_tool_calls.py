"""Calls are found in an answer however it comes, and nothing else of it is lost."""

import json
import random

import pytest

from rbee_worker.tools.call_stream import CALLS_MAX, HELD_CHARS_MAX, ToolCallStream

NAMES = ("now", "get_weather")
NOW = '<tool_call>\n{"name": "now", "arguments": {}}\n</tool_call>'
RAIN = '<tool_call>{"name": "get_weather", "arguments": {"city": "</tool_call> é"}}</tool_call>'


def feed(pieces: list[str], *names: str) -> tuple[str, list[tuple[str, str]]]:
    stream = ToolCallStream(names or NAMES)
    text = "".join(stream.push(piece) for piece in pieces) + stream.flush()
    return text, [(call.name, call.arguments) for call in stream.calls]


CASES: list[tuple[str, str, list[str]]] = [
    ("", "", []),
    ("hello <b>", "hello <b>", []),
    ("  \n hello", "  \n hello", []),
    (NOW, "", ["now"]),
    (f"\n{NOW}\n", "", ["now"]),
    (f"I look: {NOW}", "I look: ", ["now"]),
    (f"{NOW}\n{RAIN}", "", ["now", "get_weather"]),
    (f"a{NOW}b{RAIN} c", "ab c", ["now", "get_weather"]),
    ('<tool_call>{"name": "now"}', "", ["now"]),  # it ends without closing
    ('<tool_call>{"name": "now", "arguments": "{\\"a\\": 1}"}</tool_call>', "", ["now"]),
    (f"<tool_call>oops {NOW}", "<tool_call>oops ", ["now"]),
    ("<tool_call>", "<tool_call>", []),
    ("<tool_call>{</tool_call>!", "<tool_call>{</tool_call>!", []),
    ('<tool_call>{"name": "later"}</tool_call>', '<tool_call>{"name": "later"}</tool_call>', []),
    ('<tool_call>{"name": ["now"]}</tool_call>', '<tool_call>{"name": ["now"]}</tool_call>', []),
    ('<tool_call>{"name": "now', '<tool_call>{"name": "now', []),
    ('{"name": "now", "parameters": {"a": 1}}', "", ["now"]),
    (' \n{ "name" : "now" }\n', "", ["now"]),
    ('{"name": "now"} and more', '{"name": "now"} and more', []),
    ('{"name": "nowhere"}', '{"name": "nowhere"}', []),
    ('{"answer": 42}', '{"answer": 42}', []),
    ('{"name": "now", "arguments": NaN}', '{"name": "now", "arguments": NaN}', []),
    ('[TOOL_CALLS] [{"name": "now", "arguments": {}}]', "", ["now"]),
    ('[{"name": "now"}, {"name": "get_weather"}]', "", ["now", "get_weather"]),
    ('[{"name": "now"}, {"name": "else"}]', '[{"name": "now"}, {"name": "else"}]', []),
    ("[TOOL", "[TOOL", []),
    ("[1, 2]", "[1, 2]", []),
]


@pytest.mark.parametrize(("whole", "text", "names"), CASES)
@pytest.mark.parametrize("length", [1, 2, 7, 1_000])
def test_calls_are_found_however_the_answer_is_cut(
    whole: str, text: str, names: list[str], length: int
) -> None:
    pieces = [whole[at : at + length] for at in range(0, len(whole), length)]
    found, calls = feed(pieces)
    assert (found, [name for name, _ in calls]) == (text, names)


def test_arguments_are_json_whatever_the_model_wrote() -> None:
    written = '{"name": "now", "arguments": {"a": "line\nnext", "b": "\\ud800", "c": "é"}}'
    _, ((_, arguments),) = feed([f"<tool_call>{written}</tool_call>"])
    assert json.loads(arguments) == {"a": "line\nnext", "b": "\ud800", "c": "é"}
    arguments.encode()


def test_text_comes_at_once_and_only_what_may_be_a_call_waits() -> None:
    stream = ToolCallStream(NAMES)
    assert stream.push("Well") == "Well"
    assert stream.push(", <") == ", "
    assert stream.push("b> <tool") == "<b> "
    assert stream.push("_call>") == ""
    assert stream.push('{"name": "now"}</tool_call>') == ""
    assert [call.name for call in stream.calls] == ["now"]
    assert stream.push("\n") == ""
    assert stream.push("so") == "\nso"


def test_an_answer_in_json_comes_as_soon_as_it_is_sure_to_be_no_call() -> None:
    stream = ToolCallStream(NAMES)
    assert stream.push('{"na') == ""
    assert stream.push('tion": "Peru') == '{"nation": "Peru'


def test_without_tools_all_is_text() -> None:
    stream = ToolCallStream([])
    assert stream.push(NOW) == NOW
    assert stream.calls == []


def test_ids_of_calls_differ() -> None:
    stream = ToolCallStream(NAMES)
    stream.push(NOW * 20)
    assert len({call.id for call in stream.calls}) == 20


def test_a_call_without_end_is_let_go_as_text() -> None:
    text, calls = feed(["<tool_call>", *(["x" * 1_000] * 300), NOW])
    assert calls == []
    assert len(text) == len("<tool_call>") + 300_000 + len(NOW)
    assert HELD_CHARS_MAX < 300_000


def test_more_calls_than_anybody_makes_are_text() -> None:
    text, calls = feed([NOW * (CALLS_MAX + 2)])
    assert (len(calls), text) == (CALLS_MAX, NOW * 2)


@pytest.mark.parametrize("seed", range(200))
def test_whatever_comes_no_text_is_lost_and_cuts_change_nothing(seed: int) -> None:
    dice = random.Random(seed)
    parts = ["<tool_call>", "</tool_call>", '{"name": "now"}', '"', "{", "<", " ", "\n", "x", "["]
    whole = "".join(dice.choice(parts) for _ in range(dice.randint(1, 25)))
    pieces: list[str] = []
    at = 0
    while at < len(whole):
        length = dice.randint(1, 12)
        pieces.append(whole[at : at + length])
        at += length
    once, calls = feed([whole])
    assert feed(pieces) == (once, calls)
    if not calls:
        assert once == whole
