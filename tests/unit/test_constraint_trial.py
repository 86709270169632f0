"""Constraints are tried where they can do no harm, and kept for those who ask again."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from rbee_worker.constraints.constraint import Constraint, ConstraintKind
from rbee_worker.constraints.constraints import Constraints
from rbee_worker.constraints.limits import GRAMMAR_USES_MAX
from rbee_worker.constraints.refusal import (
    ConstraintMalformedError,
    ConstraintTooComplexError,
)
from tests.constrained import END, TAG, allowed, tokenizer_json

JSON, REGEX, _, GRAMMAR = ConstraintKind
REFUSED_S_MAX = 3.0  # far above the limit of a trial, for machines that do much else

CHAIN = ", ".join(
    f'"a{each}": {{"properties": {{"x": {{"$ref": "#/$defs/a{each + 1}"}}}}}}'
    for each in range(999)
)
BOMBS = [
    (GRAMMAR, "start: p::0x0\np::_: p::incr(_)"),  # goes on for ever
    (JSON, '{"type": "integer", "multipleOf": 1000003}'),  # takes minutes
    (JSON, f'{{"$ref": "#/$defs/a0", "$defs": {{{CHAIN}, "a999": {{}}}}}}'),  # needs a deep stack
]


@pytest.fixture(scope="module")
def constraints() -> Iterator[Constraints]:
    with Constraints(tokenizer_json(), vocab_size=TAG + 1, eos_token_ids=[END]) as found:
        yield found


@pytest.mark.parametrize(("kind", "text"), BOMBS, ids=lambda each: str(each)[:30])
def test_a_bomb_goes_off_where_it_can_do_no_harm(
    constraints: Constraints, kind: ConstraintKind, text: str
) -> None:
    constraints.compile(Constraint(REGEX, "a"))  # so that the process has started
    begun = time.monotonic()
    with pytest.raises(ConstraintTooComplexError):
        constraints.compile(Constraint(kind, text))
    assert time.monotonic() - begun < REFUSED_S_MAX
    assert constraints.compile(Constraint(REGEX, "next")).mask().any()


def test_a_refusal_is_remembered(constraints: Constraints) -> None:
    for _ in range(2):
        with pytest.raises(ConstraintMalformedError, match="unclosed"):
            constraints.compile(Constraint(REGEX, "(["))


def test_every_answer_begins_at_the_beginning_however_often_one_was_asked_for(
    constraints: Constraints,
) -> None:
    for _ in range(2 * GRAMMAR_USES_MAX + 1):
        matcher = constraints.compile(Constraint(REGEX, "ab12"))
        (token,) = allowed(matcher.mask())[-1:]
        matcher.consume(token)


def test_threads_may_ask_at_once(constraints: Constraints) -> None:
    asked = [Constraint(REGEX, f"a{{{number % 7}}}b") for number in range(40)]
    with ThreadPoolExecutor(max_workers=4) as threads:
        matchers = list(threads.map(constraints.compile, asked))
    assert all(matcher.mask().any() for matcher in matchers)


def test_constraints_may_be_closed_and_used_again() -> None:
    with Constraints(tokenizer_json(), vocab_size=TAG + 1, eos_token_ids=[END]) as constraints:
        constraints.compile(Constraint(REGEX, "a"))
        constraints.close()
        constraints.compile(Constraint(REGEX, "b"))
