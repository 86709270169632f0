"""A model that knows nothing but its constraint, a tokenizer of single bytes, and what fits."""

import random
from collections.abc import Callable
from typing import Any, cast

import numpy as np
import tokenizers as untyped_tokenizers
from numpy.typing import NDArray
from tokenizers import decoders, models, pre_tokenizers

from rbee_worker.constraints.compiling import compiled
from rbee_worker.constraints.constraint import Constraint, grammar_of
from rbee_worker.constraints.matcher import Matcher
from rbee_worker.constraints.refusal import refusal_of
from rbee_worker.constraints.vocabulary import Vocabulary

library: Any = untyped_tokenizers
_models, _pre, _decoders = cast("Any", models), cast("Any", pre_tokenizers), cast("Any", decoders)

PAIRS = ('{"', '":', '",', '"}', "ab", "bc", "12", "00", ": ", ", ", "tr", "ue")
END = 256 + len(PAIRS)
TAG = END + 1  # `<tool_call>`, which is text though a tokenizer adds it
STEPS_MAX = 3_000
ENDS_SOON = 0.5

Answers = Callable[[Constraint, int], str]


def tokenizer_json() -> str:
    """Return a tokenizer of all bytes and some pairs of them."""
    letters = sorted(_pre.ByteLevel.alphabet())
    written = [_pre.ByteLevel(add_prefix_space=False).pre_tokenize_str(each) for each in PAIRS]
    merged = ["".join(part for part, _ in each) for each in written]
    numbers = {letter: number for number, letter in enumerate([*letters, *merged])}
    tokenizer = library.Tokenizer(_models.BPE(numbers, [(each[0], each[1]) for each in merged]))
    tokenizer.pre_tokenizer = _pre.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = _decoders.ByteLevel()
    tokenizer.add_special_tokens([library.AddedToken("<|end|>", special=True)])
    tokenizer.add_tokens([library.AddedToken("<tool_call>", special=False, normalized=False)])
    return str(tokenizer.to_str())


def vocabulary(*, vocab_size: int = TAG + 40) -> Vocabulary:
    """Return the tokens of that, for a graph that has more of them."""
    return Vocabulary(tokenizer_json(), vocab_size=vocab_size, eos_token_ids=[END])


def matcher_of(constraint: Constraint, tokens: Vocabulary) -> Matcher:
    """Return a matcher that was compiled here, tried or not."""
    matcher, fault = compiled(tokens.tokens, grammar_of(constraint))
    if fault:
        raise refusal_of(fault)
    return Matcher(matcher, tokens, on_failure=lambda: None)


def allowed(mask: NDArray[np.int32]) -> list[int]:
    """Return the tokens of a mask."""
    return [
        int(each) for each in np.flatnonzero(np.unpackbits(mask.view(np.uint8), bitorder="little"))
    ]


def written(tokens: Vocabulary, answer: list[int]) -> str:
    """Return the text of an answer."""
    return b"".join(tokens.tokens.decode_bytes([each]) for each in answer).decode()


def answer(matcher: Matcher, tokens: Vocabulary, seed: int, *, end: int = END) -> str | None:
    """Return what a model of random logits answers; None if it goes on and on."""
    dice = random.Random(seed)
    said: list[int] = []
    for _ in range(STEPS_MAX):
        if matcher.is_complete:
            return written(tokens, said)
        may = allowed(matcher.mask())
        token = end if end in may and dice.random() < ENDS_SOON else dice.choice(may)
        matcher.consume(token)
        if token == end:
            return written(tokens, said)
        said.append(token)
    return None


def fits(value: Any, schema: dict[str, Any]) -> bool:
    """Return whether a value is what a schema says, of the keywords that these tests use."""
    if "enum" in schema:
        return value in schema["enum"]
    if "anyOf" in schema:
        return any(fits(value, each) for each in schema["anyOf"])
    return _FITS[schema["type"]](value, schema)


def _fits_integer(value: Any, schema: dict[str, Any]) -> bool:
    least, most = schema.get("minimum", -(10**99)), schema.get("maximum", 10**99)
    return type(value) is int and least <= value <= most


def _fits_string(value: Any, schema: dict[str, Any]) -> bool:
    most = schema.get("maxLength", 10**9)
    return isinstance(value, str) and schema.get("minLength", 0) <= len(value) <= most


def _fits_array(value: Any, schema: dict[str, Any]) -> bool:
    if not isinstance(value, list):
        return False
    each = cast("list[Any]", value)
    within = schema.get("minItems", 0) <= len(each) <= schema.get("maxItems", 10**9)
    return within and all(fits(one, schema["items"]) for one in each)


def _fits_object(value: Any, schema: dict[str, Any]) -> bool:
    if not isinstance(value, dict):
        return False
    found = cast("dict[str, Any]", value)
    known: dict[str, Any] = schema["properties"]
    return (
        set(schema["required"]) <= set(found)
        and set(found) <= set(known)
        and all(fits(found[key], known[key]) for key in found)
    )


_FITS: dict[str, Callable[[Any, dict[str, Any]], bool]] = {
    "integer": _fits_integer,
    "string": _fits_string,
    "array": _fits_array,
    "object": _fits_object,
    "boolean": lambda value, _: isinstance(value, bool),
    "null": lambda value, _: value is None,
}


def some_schema(dice: random.Random, depth: int = 3) -> dict[str, Any]:
    """Return a random schema of those keywords."""
    leaves: list[dict[str, Any]] = [
        {"type": "boolean"},
        {"type": "null"},
        {"type": "integer", "minimum": dice.randint(-50, 0), "maximum": dice.randint(1, 2_000)},
        {"type": "string", "minLength": dice.randint(0, 3), "maxLength": dice.randint(3, 9)},
        {"enum": ["red", 7, None, 'a "quoted" é']},
    ]
    if not depth:
        return dice.choice(leaves)
    parts = [some_schema(dice, depth - 1) for _ in range(dice.randint(1, 3))]
    properties = {f"p{place}": part for place, part in enumerate(parts)}
    return dice.choice(
        [
            *leaves[2:4],
            {"anyOf": parts},
            {"type": "array", "items": parts[0], "minItems": dice.randint(0, 2), "maxItems": 4},
            {
                "type": "object",
                "properties": properties,
                "required": sorted(dice.sample(sorted(properties), dice.randint(0, len(parts)))),
                "additionalProperties": False,
            },
        ]
    )
