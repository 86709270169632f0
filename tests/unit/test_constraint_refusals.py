"""What cannot be kept is refused before a token is spent, and says why."""

import json

import pytest

from rbee_shared.errors import InvalidArgumentError
from rbee_worker.constraints.constraint import Constraint, ConstraintKind, grammar_of
from rbee_worker.constraints.limits import CONSTRAINT_CHARS_MAX
from rbee_worker.constraints.matcher import Matcher
from rbee_worker.constraints.refusal import ConstraintTooComplexError
from rbee_worker.constraints.vocabulary import Vocabulary, VocabularyUnusableError
from tests.constrained import allowed, matcher_of, vocabulary

JSON, REGEX, CHOICE, GRAMMAR = ConstraintKind


@pytest.fixture(scope="module")
def tokens() -> Vocabulary:
    return vocabulary()


def nested(begin: str, middle: str, end: str, depth: int) -> str:
    return begin * depth + middle + end * depth


MALFORMED = [
    (JSON, ""),
    (JSON, '{"type": '),
    (JSON, "3"),
    (JSON, '{"type": "float"}'),
    (JSON, '{"type": "string", "pattern": "(["}'),
    (JSON, '{"minItems": -1}'),
    (REGEX, "(["),
    (REGEX, "\ud800"),
    (CHOICE, "[1]"),
    (CHOICE, "{}"),
    (CHOICE, "["),
    (CHOICE, '["\\ud800"]'),
    (GRAMMAR, 'start "a"'),
    (GRAMMAR, 'begin: "a"'),
    (GRAMMAR, "start: missing"),
    (GRAMMAR, "\0"),
]
UNSUPPORTED = [
    (JSON, '{"not": {"type": "string"}}'),
    (JSON, '{"if": {"type": "string"}, "then": {"minLength": 3}}'),
    (JSON, '{"type": "array", "uniqueItems": true}'),
    (JSON, '{"type": "string", "format": "iri"}'),
    (JSON, '{"oneOf": [{"type": "string"}, {"type": "string", "minLength": 2}]}'),
    (JSON, '{"$ref": "http://elsewhere/schema"}'),
    (JSON, '{"not": {}, "x-guidance": {"lenient": true}}'),
    (GRAMMAR, 'start: %json {"not": {}, "x-guidance": {"lenient": true}}'),
    (REGEX, r"\bword\b"),
    (REGEX, "(?=a)b"),
]
UNSATISFIABLE = [
    (JSON, "false"),
    (JSON, '{"enum": []}'),
    (JSON, '{"type": "string", "minLength": 5, "maxLength": 2}'),
    (JSON, '{"allOf": [{"type": "string"}, {"type": "integer"}]}'),
    (JSON, '{"allOf": [{"type": "integer", "minimum": 5}, {"maximum": 3}]}'),
    (JSON, '{"$ref": "#"}'),
    (JSON, '{"type": "object", "required": ["a"], "additionalProperties": false}'),
    (REGEX, r"[^\s\S]"),
    (CHOICE, "[]"),
    (GRAMMAR, "start: start"),
]
TOO_COMPLEX = [
    (JSON, json.dumps({"const": "a" * CONSTRAINT_CHARS_MAX})),
    (JSON, nested('{"items": ', "{}", "}", 5_000)),
    (REGEX, nested("(", "a", ")", 5_000)),
    (CHOICE, json.dumps([str(number) for number in range(6_000)])),
    (GRAMMAR, "start: " + nested("(", '"a"', ")", 5_000)),
]


@pytest.mark.parametrize(
    ("reason", "kind", "text"),
    [
        (reason, kind, text)
        for reason, cases in (
            ("CONSTRAINT_MALFORMED", MALFORMED),
            ("CONSTRAINT_UNSUPPORTED", UNSUPPORTED),
            ("CONSTRAINT_UNSATISFIABLE", UNSATISFIABLE),
            ("CONSTRAINT_TOO_COMPLEX", TOO_COMPLEX),
        )
        for kind, text in cases
    ],
    ids=lambda each: str(each)[:40],
)
def test_a_constraint_that_cannot_be_kept_is_refused(
    tokens: Vocabulary, reason: str, kind: ConstraintKind, text: str
) -> None:
    with pytest.raises(InvalidArgumentError) as caught:
        matcher_of(Constraint(kind, text), tokens)
    assert (caught.value.reason, bool(caught.value.hint)) == (reason, True)
    assert len(str(caught.value)) < 300


def test_what_a_schema_only_notes_is_no_reason_to_refuse_it(tokens: Vocabulary) -> None:
    schema = {"title": "T", "description": "d", "examples": [1], "type": "integer", "x-own": 1}
    grammar_of(Constraint(JSON, json.dumps(schema)))
    assert allowed(matcher_of(Constraint(JSON, json.dumps(schema)), tokens).mask())


@pytest.mark.parametrize("pattern", ["(a{1,1000}){1,1000}", "(x+x+)+y", "(a|b)*a(a|b){2000}"])
def test_a_pattern_that_explodes_only_for_some_readers_is_kept(
    tokens: Vocabulary, pattern: str
) -> None:
    matcher = matcher_of(Constraint(REGEX, pattern), tokens)
    for _ in range(50):
        matcher.consume(allowed(matcher.mask())[0])


def take(matcher: Matcher, token: int, *, count: int) -> None:
    for _ in range(count):
        matcher.mask()
        matcher.consume(token)


def test_a_grammar_that_explodes_while_it_is_stepped_is_refused_then(tokens: Vocabulary) -> None:
    matcher = matcher_of(Constraint(GRAMMAR, "start: " + '"a"* ' * 300), tokens)
    (letter,) = tokens.tokens.tokenize_str("a")
    with pytest.raises(ConstraintTooComplexError):
        take(matcher, letter, count=1_000)


def test_a_tokenizer_that_cannot_be_read_is_an_error_that_says_so() -> None:
    with pytest.raises(VocabularyUnusableError):
        Vocabulary("{}", vocab_size=10, eos_token_ids=[1])
