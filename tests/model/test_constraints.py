"""Constraints with the tokenizer of a real model."""

import json
import random
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from rbee_worker.constraints.constraint import Constraint, ConstraintKind
from rbee_worker.constraints.constraints import Constraints
from rbee_worker.constraints.refusal import ConstraintTooComplexError, ConstraintUnsatisfiableError
from rbee_worker.constraints.vocabulary import Vocabulary
from rbee_worker.description import ModelDescription
from rbee_worker.text.tokenizer import TOKENIZER_FILE, Tokenizer
from rbee_worker.tools.call_stream import ToolCallStream
from rbee_worker.tools.offer import constraint_for
from rbee_worker.tools.tool import REQUIRED, Tool
from tests.constrained import answer, fits, some_schema

pytestmark = [pytest.mark.model, pytest.mark.timeout(300)]

JSON, REGEX, CHOICE, _ = ConstraintKind
END = 2
BOMBS = [
    (ConstraintKind.GRAMMAR, "start: p::0x0\np::_: p::incr(_)"),
    (JSON, '{"type": "integer", "multipleOf": 1000003}'),
    (REGEX, "a{1000000}"),
    (REGEX, "((a{99}){99}){99}"),
]


@pytest.fixture(scope="module")
def tokens(onnx_model: Path) -> Vocabulary:
    return Vocabulary(text_of(onnx_model), vocab_size=49_152, eos_token_ids=[END])


@pytest.fixture(scope="module")
def constraints(onnx_model: Path) -> Iterator[Constraints]:
    with Constraints(text_of(onnx_model), vocab_size=49_152, eos_token_ids=[END]) as found:
        yield found


def text_of(folder: Path) -> str:
    return (folder / TOKENIZER_FILE).read_text(encoding="utf-8")


def test_the_grammar_library_and_the_answers_agree_on_what_each_token_writes(
    onnx_model: Path, tokens: Vocabulary
) -> None:
    tokenizer = Tokenizer(onnx_model, ModelDescription.read(onnx_model))
    for text in ('{"a": [1, 2.5e-3]}', "naïve 中文 😀\n\t", "<|im_start|> is text"):
        stream = tokenizer.stream(tokenizer.encode_text(text))
        found = tokens.tokens.tokenize_str(text)
        assert "".join(map(stream.push, found)) == text


@pytest.mark.parametrize("seed", range(20))
def test_an_answer_fits_its_schema(constraints: Constraints, tokens: Vocabulary, seed: int) -> None:
    schema = some_schema(random.Random(seed))
    text = answer(constraints.compile(Constraint(JSON, json.dumps(schema))), tokens, seed, end=END)
    assert text is not None
    assert fits(json.loads(text), schema)


def test_an_answer_matches_its_pattern_and_is_one_of_the_choices(
    constraints: Constraints, tokens: Vocabulary
) -> None:
    choices = ["yes", "no", "<|im_end|>", "perhaps, é 😀"]
    for seed in range(10):
        matcher = constraints.compile(Constraint(REGEX, r"[A-Z][a-z]{2,12} [0-9]{4}"))
        text = answer(matcher, tokens, seed, end=END)
        assert text is not None
        assert re.fullmatch(r"[A-Z][a-z]{2,12} [0-9]{4}", text)
        matcher = constraints.compile(Constraint(CHOICE, json.dumps(choices)))
        assert answer(matcher, tokens, seed, end=END) in choices


def test_what_only_control_tokens_would_answer_is_refused(constraints: Constraints) -> None:
    with pytest.raises(ConstraintUnsatisfiableError):
        constraints.compile(Constraint(ConstraintKind.GRAMMAR, "start: <[3-9]>"))


def test_a_required_call_is_made_whatever_the_model_is_like(
    constraints: Constraints, tokens: Vocabulary
) -> None:
    cities = {"enum": ["Rome", "Oslo"]}
    parameters = {"properties": {"city": cities}, "required": ["city"]}
    constraint = constraint_for(
        [Tool("weather", "", {**parameters, "additionalProperties": False})], REQUIRED
    )
    assert constraint is not None
    for seed in range(5):
        text = answer(constraints.compile(constraint), tokens, seed, end=END)
        stream = ToolCallStream(["weather"])
        assert stream.push(text or "") + stream.flush() == ""
        (call,) = stream.calls
        assert json.loads(call.arguments)["city"] in cities["enum"]


@pytest.mark.parametrize(("kind", "text"), BOMBS, ids=lambda each: str(each)[:30])
def test_a_bomb_is_refused_when_it_comes_or_when_it_goes_off(
    constraints: Constraints, tokens: Vocabulary, kind: ConstraintKind, text: str
) -> None:
    with pytest.raises(ConstraintTooComplexError):
        answer(constraints.compile(Constraint(kind, text)), tokens, 0, end=END)
