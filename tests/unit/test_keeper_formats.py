import json
from pathlib import Path
from typing import Any

import pytest
import typer

from rbee.v1 import inference_pb2
from rbee_keeper.formats import (
    Tools,
    add_tools,
    read_schema,
    read_text,
    read_tools,
    response_format,
)
from rbee_keeper.sampling import parse_bias, parse_stop, within
from rbee_shared.limits import PROMPT_CHARS_MAX, TOOLS_MAX

FIND = {"name": "find", "description": "finds", "parameters": {"type": "object"}}


def file_of(folder: Path, document: Any) -> str:
    path = folder / "file.json"
    path.write_text(document if isinstance(document, str) else json.dumps(document))
    return str(path)


def test_a_schema_is_json_or_the_name_of_a_file(tmp_path: Path) -> None:
    assert read_schema(' {"type": "object"}') == ' {"type": "object"}'
    assert read_schema(file_of(tmp_path, {"a": 1})) == '{"a": 1}'
    with pytest.raises(typer.BadParameter, match="the schema is no JSON"):
        read_schema("{")
    with pytest.raises(typer.BadParameter, match=r"file\.json' is no JSON"):
        read_schema(file_of(tmp_path, "no"))
    with pytest.raises(typer.BadParameter, match="an object"):
        read_schema(file_of(tmp_path, [1]))


def test_a_file_that_cannot_be_read_is_said_to_be_so(tmp_path: Path) -> None:
    for path, why in ((tmp_path, "Is a directory"), (tmp_path / "x", "No such file")):
        with pytest.raises(typer.BadParameter, match=why):
            read_text(str(path))
    with pytest.raises(typer.BadParameter, match="cannot read"):
        read_text("nul\0")
    binary = tmp_path / "binary"
    binary.write_bytes(b"\xff\xfe")
    with pytest.raises(typer.BadParameter, match="not UTF-8"):
        read_text(str(binary))
    with pytest.raises(typer.BadParameter, match="over 1000000 characters"):
        read_text(file_of(tmp_path, "x" * (PROMPT_CHARS_MAX + 1)))


def test_tools_are_taken_bare_and_as_openai_wraps_them(tmp_path: Path) -> None:
    wrapped = {"type": "function", "function": {"name": "wrapped"}}
    assert read_tools(file_of(tmp_path, [FIND, wrapped])).tools == (
        inference_pb2.Tool(name="find", description="finds", parameters='{"type": "object"}'),
        inference_pb2.Tool(name="wrapped"),
    )


NO_TOOLS: list[tuple[Any, str]] = [
    ({}, "no JSON array"),
    ([], "has 0 tools"),
    ([FIND] * (TOOLS_MAX + 1), "has 129 tools"),
    ([FIND, FIND], "two tools of one name"),
    (["find"], "tool 1 has no name"),
    ([FIND, {"name": "a b"}], "tool 2 has no name"),
    ([{"function": 1}], "tool 1 has no name"),
    ([{"name": "x", "parameters": []}], "parameters of tool 'x'"),
]


@pytest.mark.parametrize(("document", "why"), NO_TOOLS)
def test_what_is_no_file_of_tools_is_refused_with_the_place(
    tmp_path: Path, document: Any, why: str
) -> None:
    with pytest.raises(typer.BadParameter, match=why):
        read_tools(file_of(tmp_path, document))


def test_an_answer_has_one_form_at_most() -> None:
    def form(**given: Any) -> inference_pb2.ResponseFormat | None:
        return response_format(
            **{"schema": None, "regex": None, "choices": None, "grammar": None, **given}
        )

    assert form() is None
    assert form(regex="") == inference_pb2.ResponseFormat(regex="")
    found = form(choices=["a", "b"])
    assert found is not None
    assert found.choices.options == ["a", "b"]
    with pytest.raises(typer.BadParameter, match="only one of"):
        form(regex="a", schema="{}")


TOOLS = Tools((inference_pb2.Tool(name="find"),))


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        (None, {"tool_choice": inference_pb2.TOOL_CHOICE_AUTO}),
        ("none", {"tool_choice": inference_pb2.TOOL_CHOICE_NONE}),
        ("required", {"tool_choice": inference_pb2.TOOL_CHOICE_REQUIRED}),
        ("find", {"tool_name": "find"}),
    ],
)
def test_a_choice_is_a_word_or_the_name_of_a_tool(
    choice: str | None, expected: dict[str, Any]
) -> None:
    conversation = inference_pb2.Conversation()
    add_tools(conversation, TOOLS, choice)
    assert conversation == inference_pb2.Conversation(tools=TOOLS.tools, **expected)


def test_a_choice_without_its_tool_is_refused() -> None:
    with pytest.raises(typer.BadParameter, match="for the tools of --tools"):
        add_tools(inference_pb2.Conversation(), None, "auto")
    with pytest.raises(
        typer.BadParameter, match="'lose' is no tool of the file, and not one of auto"
    ):
        add_tools(inference_pb2.Conversation(), TOOLS, "lose")


def test_a_bias_is_a_token_and_a_number() -> None:
    assert parse_bias("42=-100") == inference_pb2.LogitBias(token_id=42, bias=-100)
    for text, why in (
        ("42", "like 42=-100"),
        ("x=1", "'x' is not a whole number"),
        ("42=x", "'x' is not a number"),
        ("42=101", "101 is not from -100 to 100"),
        ("-1=1", "-1 is not from 0"),
    ):
        with pytest.raises(typer.BadParameter, match=why):
            parse_bias(text)


def test_a_number_out_of_its_range_is_refused_with_the_range() -> None:
    assert [within(0, 2)(text) for text in ("0", "2")] == [0, 2]
    assert within(0, 1, above=True)("0.1") == 0.1
    with pytest.raises(typer.BadParameter, match="3 is not from 0 to 2"):
        within(0, 2)("3")
    with pytest.raises(typer.BadParameter, match="0 is not above 0 to 1"):
        within(0, 1, above=True)("0")


def test_a_text_to_stop_at_is_neither_empty_nor_endless() -> None:
    assert [parse_stop(text) for text in (" ", "x" * 256)] == [" ", "x" * 256]
    for text in ("", "x" * 257):
        with pytest.raises(typer.BadParameter, match="has 1 to 256 characters"):
            parse_stop(text)


def test_json_that_nests_too_deeply_is_told_in_our_words() -> None:
    with pytest.raises(typer.BadParameter, match="the schema nests too deeply"):
        read_schema('{"a":' * 100_000)
