"""The least number of tokens that a text can have is never more than it has."""

import json
from pathlib import Path
from typing import Any

import pytest
import tokenizers as untyped_tokenizers
from tokenizers import normalizers, pre_tokenizers

from rbee_worker.convert.gguf import GgufFile
from rbee_worker.convert.tokenizer import to_json
from rbee_worker.convert.vocabulary import vocabulary_of
from rbee_worker.text.least import Least, least_of
from rbee_worker.text.token_text import BYTES
from tests.texts import TEXTS, noise
from tests.tiny_llama import TinyLlama
from tests.tiny_vocabulary import sentence_piece

library: Any = untyped_tokenizers
_normalizers: Any = normalizers
_pre: Any = pre_tokenizers


@pytest.fixture(params=["byte_level", "sentence_piece"])
def tokenizer(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    path = tmp_path / "tiny.gguf"
    if request.param == "byte_level":
        TinyLlama(layers=1).write(path)
    else:
        sentence_piece(path, TEXTS, longest=6)
    return library.Tokenizer.from_str(to_json(vocabulary_of(GgufFile(path))))


def test_no_text_has_fewer(tokenizer: Any) -> None:
    least = least_of(tokenizer)
    assert least.token_bytes_max > 0
    for text in (*TEXTS, *noise(200, seed=5), "x" * 1_000, "\x04" * 1_000):
        assert least.tokens(text) <= len(tokenizer.encode(text, add_special_tokens=False).ids)


@pytest.mark.parametrize(
    "drop",
    [
        {"normalizer": _normalizers.NFC()},
        {"normalizer": _normalizers.Replace("ab", "a")},
        {"normalizer": _normalizers.Sequence([_normalizers.Strip()])},
        {"pre_tokenizer": _pre.Whitespace()},
        {"pre_tokenizer": _pre.Sequence([_pre.Split(" ", "removed")])},
    ],
)
def test_of_what_drops_text_nothing_is_said(drop: dict[str, Any], tokenizer: Any) -> None:
    for part, value in drop.items():
        setattr(tokenizer, part, value)
    assert least_of(tokenizer) == Least(0)
    assert least_of(tokenizer).tokens("x" * 1_000) == 0


def test_bytes_that_are_dropped_for_want_of_a_token_are_left_out(tmp_path: Path) -> None:
    path = TinyLlama(layers=1).write(tmp_path / "tiny.gguf")
    found = json.loads(to_json(vocabulary_of(GgufFile(path))))
    lost = sorted(letter for letter, byte in BYTES.items() if byte in b"Q\x04")
    for letter in lost:
        del found["model"]["vocab"][letter]
    drops = _pre.Split(library.Regex(f"[{''.join(lost)}]"), "removed")
    tokenizer = library.Tokenizer.from_str(json.dumps(found))
    tokenizer.pre_tokenizer = _pre.Sequence([tokenizer.pre_tokenizer, drops])
    least = least_of(tokenizer)
    assert least.token_bytes_max > 0
    assert sorted(least.dropped) == sorted(b"Q\x04")
    assert least.tokens("Q" * 1_000) == len(tokenizer.encode("Q" * 1_000).ids) == 0


def test_of_what_takes_spaces_along_nothing_is_said(tokenizer: Any) -> None:
    tokenizer.add_special_tokens([library.AddedToken("<|trim|>", rstrip=True)])
    assert least_of(tokenizer) == Least(0)


def test_bytes_without_a_token_do_not_count() -> None:
    assert Least(2, b"x").tokens("xxaaaxx") == 2
