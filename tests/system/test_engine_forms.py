"""What a person asks of an answer, its form and its end, holds for the real model's answers."""

import json
import re
from typing import Any

import pytest

from tests.conftest import Home
from tests.system.conftest import CONTEXT_TOKENS

pytestmark = [pytest.mark.system, pytest.mark.model, pytest.mark.timeout(300)]

PERSON = {
    "type": "object",
    "properties": {"name": {"type": "string", "maxLength": 12}, "age": {"type": "integer"}},
    "required": ["name", "age"],
    "additionalProperties": False,
}
WEATHER = {
    "name": "get_weather",
    "description": "The weather of a city",
    "parameters": {
        "type": "object",
        "properties": {"city": {"type": "string", "maxLength": 20}},
        "required": ["city"],
        "additionalProperties": False,
    },
}
COUNTED = 'start: NUMBER " " ("bee" | "bees")\nNUMBER: /[1-9][0-9]{0,2}/\n'
DOUBLED = "start: a0\n" + "".join(f"a{level}: a{level + 1} a{level + 1}\n" for level in range(60))
BOMB = DOUBLED + "a60: /(x|y){2,1000}/\n"


def answer(home: Home, prompt: str, *options: str) -> str:
    """Return what standard output has of a run that must work."""
    ran = home.rbee("run", "smollm2", prompt, "--seed", "1", "--max-tokens", "60", *options)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


def tokens(home: Home, *options: str) -> list[dict[str, Any]]:
    """Return the tokens of an answer, each with its log-probability."""
    lines = answer(home, "Say hi.", "--logprobs", "2", "--json", *options).splitlines()
    pieces = [json.loads(line).get("completion", {}) for line in lines]
    return [each for piece in pieces for each in piece.get("logprobs", [])]


def test_an_answer_fits_its_schema(slots: Home) -> None:
    found = json.loads(answer(slots, "Who is Ann, 31?", "--schema", json.dumps(PERSON)))
    assert found.keys() == {"name", "age"}
    assert isinstance(found["name"], str)
    assert isinstance(found["age"], int)


def test_several_answers_each_match_a_pattern(slots: Home) -> None:
    lines = answer(slots, "Name a date.", "--regex", "[12][0-9]{3}-[01][0-9]", "-n", "3")
    first, *others = lines.split("---\n")
    assert len(others) == 2
    for each in (first, *others):
        assert re.fullmatch(r"[12]\d{3}-[01]\d\n", each)


def test_an_answer_is_one_of_the_choices(slots: Home) -> None:
    assert answer(slots, "Is water wet?", "--choice", "yes", "--choice", "no") in ("yes\n", "no\n")


def test_an_answer_is_written_by_a_grammar(slots: Home) -> None:
    path = slots.folder / "counted.lark"
    path.write_text(COUNTED)
    found = answer(slots, "How many bees?", "--grammar", str(path))
    assert re.fullmatch(r"[1-9]\d{0,2} bees?\n", found)


def test_a_tool_that_must_be_called_is_called_with_what_it_takes(slots: Home) -> None:
    path = slots.folder / "tools.json"
    path.write_text(json.dumps([WEATHER]))
    asked = ("--tools", str(path), "--tool-choice", "required")
    call = json.loads(answer(slots, "What is the weather in Paris?", *asked))
    assert call["name"] == "get_weather"
    assert call["arguments"].keys() == {"city"}
    assert call["id"].startswith("call_")


def test_an_answer_is_as_long_as_it_was_told_to_be(slots: Home) -> None:
    assert len(tokens(slots, "--min-tokens", "20", "--max-tokens", "20")) == 20
    assert len(tokens(slots, "--ignore-eos", "--max-tokens", "30")) == 30
    first = tokens(slots, "--max-tokens", "1")[0]["chosen"]["token_id"]
    assert len(tokens(slots, "--stop-token", str(first))) <= 1


def test_a_forced_token_is_told_with_the_odds_that_the_model_gave_it(slots: Home) -> None:
    told = tokens(slots, "--logit-bias", "50=100", "--max-tokens", "3")
    assert [each["chosen"]["token_id"] for each in told] == [50, 50, 50]
    for each in told:
        best = [other["logprob"] for other in each["alternatives"]]
        assert len(best) == 2
        assert best == sorted(best, reverse=True)
        assert each["chosen"]["logprob"] <= best[0] <= 0


@pytest.mark.parametrize(
    ("options", "why"),
    [
        (("--schema", '{"type": "string", "minLength": 5, "maxLength": 3}'), "Unsatisfiable"),
        (("--schema", '{"type": "bee"}'), "the constraint cannot be kept"),
        (("--regex", "(((((a{2,1000}){2,1000}){2,1000}){2,1000}){2,1000}){2,1000}"), "too many"),
        (("--regex", "("), "unclosed group"),
        (("--stop-token", "49152"), "the model, which has 49,152 tokens"),
        (("--min-tokens", "61"), "min_tokens is above max_tokens"),
    ],
)
def test_what_no_answer_can_keep_to_is_refused_with_a_hint(
    slots: Home, options: tuple[str, ...], why: str
) -> None:
    ran = slots.rbee("run", "smollm2", "hi", "--max-tokens", "60", *options)
    assert (ran.returncode, ran.stdout) == (1, "")
    first, second = ran.stderr.splitlines()
    assert why in first
    assert second.startswith("hint: ")


def test_a_grammar_that_blows_up_leaves_the_worker_as_it_was(slots: Home) -> None:
    [before] = slots.json("ps")
    path = slots.folder / "bomb.lark"
    path.write_text(BOMB)
    slots.rbee("run", "smollm2", "hi", "--max-tokens", "5", "--grammar", str(path), timeout_s=30)
    assert answer(slots, "Say hi.", "--max-tokens", "3")
    [after] = slots.json("ps")
    assert (after["id"], after["pid"]) == (before["id"], before["pid"])


def test_a_prompt_over_the_context_is_refused_with_both_numbers(slots: Home) -> None:
    ran = slots.rbee("run", "smollm2", "bee " * 600)
    assert ran.returncode == 1
    first, second = ran.stderr.splitlines()
    assert re.fullmatch(rf"error: .* has \d+ tokens, the context holds {CONTEXT_TOKENS}", first)
    assert "--context" in second
