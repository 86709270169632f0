"""Whatever a model says under a constraint has the form that was asked for."""

import json
import random
import re

import numpy as np
import pytest

from rbee_worker.constraints.constraint import Constraint, ConstraintKind
from rbee_worker.constraints.refusal import ConstraintBrokenError
from rbee_worker.constraints.vocabulary import Vocabulary
from tests.constrained import (
    END,
    PAIRS,
    TAG,
    allowed,
    answer,
    fits,
    matcher_of,
    some_schema,
    tokenizer_json,
    vocabulary,
    written,
)

JSON, REGEX, CHOICE, GRAMMAR = ConstraintKind

SUM = """
start: number ("+" number)*
number: /[0-9]{1,3}/ | "(" start ")"
"""

FLAT_SUM = r"[0-9]{1,3}(\+[0-9]{1,3})*"


@pytest.fixture(scope="module")
def tokens() -> Vocabulary:
    return vocabulary()


def said(tokens: Vocabulary, kind: ConstraintKind, text: str, seed: int) -> str | None:
    return answer(matcher_of(Constraint(kind, text), tokens), tokens, seed)


@pytest.mark.parametrize("seed", range(60))
def test_an_answer_fits_its_schema(tokens: Vocabulary, seed: int) -> None:
    schema = some_schema(random.Random(seed))
    text = said(tokens, JSON, json.dumps(schema), seed)
    assert text is not None
    assert fits(json.loads(text), schema)


@pytest.mark.parametrize(
    "pattern",
    ["[a-c]{2,5}-[0-9]{3}", "(ab|bc)*x", "", "é{1,3}中?", "a?b?c?", r"/\\\"\n", "<tool_call>"],
)
def test_an_answer_matches_its_pattern(tokens: Vocabulary, pattern: str) -> None:
    for seed in range(10):
        text = said(tokens, REGEX, pattern or "(?:)", seed)
        assert text is not None
        assert re.fullmatch(pattern, text)


def test_an_answer_is_one_of_the_choices(tokens: Vocabulary) -> None:
    choices = ["a", "ab", "abc", 'with "quotes"', "zwei\nLinien", "é中😀", "<|end|>", "\\n"]
    found = {said(tokens, CHOICE, json.dumps(choices), seed) for seed in range(200)}
    assert found == set(choices)


def test_an_answer_is_in_the_language_of_its_grammar(tokens: Vocabulary) -> None:
    for seed in range(20):
        text = said(tokens, GRAMMAR, SUM, seed)
        assert text is not None
        while "(" in text:
            inner = text.rindex("(")
            sum_, close, rest = text[inner + 1 :].partition(")")
            assert close
            assert re.fullmatch(FLAT_SUM, sum_)
            text = text[:inner] + "1" + rest
        assert re.fullmatch(FLAT_SUM, text)


def test_spaces_between_the_parts_of_json_are_bounded(tokens: Vocabulary) -> None:
    matcher = matcher_of(Constraint(JSON, '{"type": "object"}'), tokens)
    matcher.consume(tokens.tokens.tokenize_str("{")[0])
    space = tokens.tokens.tokenize_str("\n")[0]
    count = 0
    while space in allowed(matcher.mask()):
        matcher.consume(space)
        count += 1
    assert count == 64


def test_only_the_end_may_follow_a_complete_answer(tokens: Vocabulary) -> None:
    matcher = matcher_of(Constraint(REGEX, "ab"), tokens)
    assert not matcher.is_complete
    for token in tokens.tokens.tokenize_str("ab"):
        matcher.consume(token)
    assert matcher.is_complete
    assert allowed(matcher.mask()) == [END]


def test_masks_are_as_long_as_the_graph_and_allow_no_token_without_text() -> None:
    for vocab_size in (TAG + 40, TAG + 1, TAG, 100):  # more tokens than the tokenizer, and fewer
        tokens = vocabulary(vocab_size=vocab_size)
        matcher = matcher_of(Constraint(REGEX, "(.|\n)*"), tokens)
        mask = matcher.mask()
        assert mask.dtype == np.int32
        assert len(mask) == -(-vocab_size // 32)
        assert set(allowed(mask)) <= set(range(min(vocab_size, TAG + 1)))


def test_a_tag_that_the_tokenizer_adds_is_text_and_may_be_one_token(tokens: Vocabulary) -> None:
    matcher = matcher_of(Constraint(GRAMMAR, 'start: "<tool_call>" "ab"'), tokens)
    assert TAG in allowed(matcher.mask())
    matcher.consume(TAG)
    assert answer(matcher, tokens, 0) == "ab"


def test_the_text_of_a_control_token_is_text_and_its_number_is_no_way_in(
    tokens: Vocabulary,
) -> None:
    assert said(tokens, JSON, '{"const": "<|end|>"}', 0) == '"<|end|>"'
    matcher = matcher_of(Constraint(GRAMMAR, f"start: <[{TAG + 1}]> | /a/"), tokens)
    assert [written(tokens, [each]) for each in allowed(matcher.mask())] == ["a"]


def test_copies_go_their_own_ways(tokens: Vocabulary) -> None:
    first = matcher_of(Constraint(CHOICE, '["ab12", "ab00"]'), tokens)
    first.consume(256 + PAIRS.index("ab"))
    second = first.copy()
    first.consume(256 + PAIRS.index("12"))
    second.consume(256 + PAIRS.index("00"))
    assert first.is_complete
    assert second.is_complete


def test_a_token_against_the_mask_is_an_error_that_says_so(tokens: Vocabulary) -> None:
    matcher = matcher_of(Constraint(REGEX, "ab"), tokens)
    with pytest.raises(ConstraintBrokenError):
        matcher.consume(tokens.tokens.tokenize_str("z")[0])


def test_a_model_without_tokens_that_end_answers_can_be_held_to_a_form() -> None:
    tokens = Vocabulary(tokenizer_json(), vocab_size=TAG + 1, eos_token_ids=[])
    assert answer(matcher_of(Constraint(REGEX, "[a-c]{3}"), tokens), tokens, 1)
