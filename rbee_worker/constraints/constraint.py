"""What form an answer must have, as the grammar that the library reads. Pure."""

import enum
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

import llguidance

from rbee_worker.constraints.limits import (
    CHOICES_MAX,
    CONSTRAINT_CHARS_MAX,
    WHITESPACE_CHARS_MAX,
)
from rbee_worker.constraints.refusal import (
    ConstraintMalformedError,
    ConstraintTooComplexError,
    ConstraintUnsatisfiableError,
    refusal_of,
)

library: Any = llguidance

SPACES = f"[ \\n\\r\\t]{{1,{WHITESPACE_CHARS_MAX}}}"  # between two parts of JSON


class ConstraintKind(enum.Enum):
    """How the form is written down."""

    JSON_SCHEMA = "JSON schema"
    REGEX = "regular expression"
    CHOICE = "choice"
    GRAMMAR = "grammar"


@dataclass(frozen=True, slots=True)
class Constraint:
    """The form that an answer must have.

    `text` is a schema as JSON, a pattern that the whole answer must match, a JSON array of strings,
    or a Lark grammar with the rule `start`.
    """

    kind: ConstraintKind
    text: str


def grammar_of(constraint: Constraint) -> str:
    """Return the constraint in the library's own form; it may still be unusable.

    Raises:
        ConstraintMalformedError: it is not even text or JSON of the right type.
        ConstraintTooComplexError: it is too long.
        ConstraintUnsatisfiableError: it is a choice of nothing.
    """
    text = constraint.text
    if len(text) > CONSTRAINT_CHARS_MAX:
        raise ConstraintTooComplexError(
            f"the {constraint.kind.value} has {len(text)} characters, over {CONSTRAINT_CHARS_MAX}"
        )
    if not text or not _is_unicode(text):
        raise ConstraintMalformedError(f"the {constraint.kind.value} is empty or no valid text")
    return _WRITERS[constraint.kind](text)


def _schema(text: str) -> str:
    if text.strip() == "false":
        raise ConstraintUnsatisfiableError("the JSON schema is `false`, which nothing fits")
    # what a schema says of these options itself must not switch the refusals off
    grammar = library.LLMatcher.grammar_from_json_schema
    schema = "{}" if text.strip() == "true" else text  # options need an object
    try:
        return str(grammar(schema, {"whitespace_pattern": SPACES}, {"lenient": False}))
    except ValueError as error:
        raise refusal_of(str(error)) from error


def _choice(text: str) -> str:
    try:
        loaded: Any = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ConstraintMalformedError(f"the choice is not JSON: {error}") from error
    choices = cast("list[Any]", loaded) if isinstance(loaded, list) else [loaded]
    if choices is not loaded or not all(isinstance(each, str) for each in choices):
        raise ConstraintMalformedError("the choice is not an array of strings")
    if not choices:
        raise ConstraintUnsatisfiableError("the choice is empty: there is nothing to answer")
    if len(choices) > CHOICES_MAX:
        raise ConstraintTooComplexError(f"there are over {CHOICES_MAX} choices")
    # one terminal: as alternatives of a rule each would be an item of the parser at once
    return "start: CHOICE\nCHOICE: " + " | ".join(json.dumps(each) for each in choices)


def _is_unicode(text: str) -> bool:
    return not any("\ud800" <= letter <= "\udfff" for letter in text)


_WRITERS: dict[ConstraintKind, Callable[[str], str]] = {
    ConstraintKind.JSON_SCHEMA: _schema,
    ConstraintKind.REGEX: library.LLMatcher.grammar_from_regex,
    ConstraintKind.CHOICE: _choice,
    ConstraintKind.GRAMMAR: library.LLMatcher.grammar_from_lark,
}
