"""Tools that are offered: what is refused, what templates get, and what an answer must be."""

import json
from typing import Any

import pytest

from rbee_worker.constraints.vocabulary import Vocabulary
from rbee_worker.tools.call_stream import ToolCallStream
from rbee_worker.tools.offer import (
    calls_for_template,
    constraint_for,
    for_template,
)
from rbee_worker.tools.tool import (
    AUTO,
    NONE,
    REQUIRED,
    TOOLS_MAX,
    Tool,
    ToolCall,
    ToolChoice,
    ToolsInvalidError,
    check,
    named,
)
from tests.constrained import answer, fits, matcher_of, vocabulary

CITY = {
    "type": "object",
    "properties": {"city": {"enum": ["Rome", 'O"slo']}, "days": {"type": "integer"}},
    "required": ["city"],
    "additionalProperties": False,
}
WEATHER = Tool("get_weather", "tells the weather", CITY)
NOW = Tool("now", "", {"properties": {}, "required": [], "additionalProperties": False})


@pytest.fixture(scope="module")
def tokens() -> Vocabulary:
    return vocabulary()


def test_good_tools_pass() -> None:
    for choice in (AUTO, NONE, REQUIRED, named("now")):
        check([WEATHER, NOW], choice)
    check([], AUTO)


CIRCLE: dict[str, Any] = {}
CIRCLE["properties"] = CIRCLE


@pytest.mark.parametrize(
    ("tools", "choice", "fault"),
    [
        ([Tool("get weather", "", {})], AUTO, "has a name"),
        ([Tool("x" * 65, "", {})], AUTO, "has a name"),
        ([Tool("now\n", "", {})], AUTO, "has a name"),
        ([Tool("", "", {})], AUTO, "has a name"),
        ([NOW, NOW], AUTO, "2 tools `now`"),
        ([Tool(f"t{each}", "", {}) for each in range(TOOLS_MAX + 1)], AUTO, "129 tools"),
        ([Tool("a", "d" * 5_000, {})], AUTO, "description"),
        ([Tool("a", "", {"title": "d" * 40_000})], AUTO, "parameters of over"),
        ([Tool("a", "", {"type": "array"})], AUTO, "no object"),
        ([Tool("a", "", {"default": float("nan")})], AUTO, "no JSON"),
        ([Tool("a", "", CIRCLE)], AUTO, "no JSON"),
        ([], REQUIRED, "none is offered"),
        ([NOW], named("then"), "`then` must be called but is not offered"),
    ],
)
def test_what_cannot_be_offered_is_refused(
    tools: list[Tool], choice: ToolChoice, fault: str
) -> None:
    with pytest.raises(ToolsInvalidError, match=fault) as caught:
        check(tools, choice)
    assert (caught.value.reason, bool(caught.value.hint)) == ("TOOLS_INVALID", True)


def test_all_faults_are_told_at_once_but_no_more_than_a_few() -> None:
    with pytest.raises(ToolsInvalidError, match=r"`a b`.*no object.*`c` must") as caught:
        check([Tool("a b", "", {}), Tool("b", "", {"type": "string"})], named("c"))
    assert "more" not in str(caught.value)
    with pytest.raises(ToolsInvalidError, match="and 95 more"):
        check([Tool(f"? {each}", "", {}) for each in range(100)], AUTO)


def test_templates_get_tools_and_calls_as_they_are_written_for() -> None:
    (offered, _) = for_template([WEATHER, NOW])
    assert offered == {
        "type": "function",
        "function": {"name": "get_weather", "description": "tells the weather", "parameters": CITY},
    }
    calls = calls_for_template([ToolCall("id", "now", '{"a": [1]}'), ToolCall("i", "now", "oops")])
    assert [each["function"]["arguments"] for each in calls] == [{"a": [1]}, "oops"]
    assert calls[0]["id"] == "id"


@pytest.mark.parametrize("choice", [AUTO, NONE])
def test_an_answer_is_free_if_no_call_is_required(choice: ToolChoice) -> None:
    assert constraint_for([WEATHER, NOW], choice) is None


@pytest.mark.parametrize(
    ("choice", "names"), [(REQUIRED, {"get_weather", "now"}), (named("now"), {"now"})]
)
def test_an_answer_that_must_be_a_call_is_one(
    tokens: Vocabulary, choice: ToolChoice, names: set[str]
) -> None:
    constraint = constraint_for([WEATHER, NOW], choice)
    assert constraint is not None
    called: set[str] = set()
    for seed in range(20):
        text = answer(matcher_of(constraint, tokens), tokens, seed)
        assert text is not None
        assert text.startswith("<tool_call>\n{")
        assert text.endswith("}\n</tool_call>")
        stream = ToolCallStream(["get_weather", "now"])
        assert stream.push(text) + stream.flush() == ""
        (call,) = stream.calls
        called.add(call.name)
        if call.name == "get_weather":
            assert fits(json.loads(call.arguments), CITY)
        else:
            assert json.loads(call.arguments) == {}
    assert called == names


def test_a_schema_cannot_loosen_the_form_of_a_call(tokens: Vocabulary) -> None:
    loose = {**CITY, "x-guidance": {"lenient": True, "whitespace_pattern": "x*"}}
    constraint = constraint_for([Tool("a", "", loose)], REQUIRED)
    assert constraint is not None
    for seed in range(5):
        text = answer(matcher_of(constraint, tokens), tokens, seed)
        assert text is not None
        assert "x" not in text
