"""Tokens one by one to text: never half a character, never a space too many or too few."""

from typing import Any

import pytest
import tokenizers as untyped_tokenizers
from tokenizers import decoders, models

from rbee_worker.convert.gguf import GgufFile
from rbee_worker.convert.tokenizer import to_json
from rbee_worker.convert.vocabulary import vocabulary_of
from rbee_worker.description import ModelDamagedError
from rbee_worker.text.token_text import TextStream, TokenText
from tests.texts import TEXTS, noise
from tests.tiny_llama import TinyLlama
from tests.tiny_vocabulary import sentence_piece

library: Any = untyped_tokenizers
_models: Any = models
_decoders: Any = decoders

BEE = "\U0001f41d"


@pytest.fixture(scope="module")
def byte_level(tmp_path_factory: pytest.TempPathFactory) -> Any:
    source = TinyLlama(layers=1).write(tmp_path_factory.mktemp("tiny") / "tiny.gguf")
    return library.Tokenizer.from_str(to_json(vocabulary_of(GgufFile(source))))


@pytest.fixture(scope="module")
def spaced(tmp_path_factory: pytest.TempPathFactory) -> Any:
    source = tmp_path_factory.mktemp("tiny") / "tiny.gguf"
    sentence_piece(source, ("hello world", "a b"), longest=6)
    return library.Tokenizer.from_str(to_json(vocabulary_of(GgufFile(source))))


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Any:
    source = tmp_path_factory.mktemp("tiny") / "tiny.gguf"
    sentence_piece(source, TEXTS, longest=2, add_space_prefix=False)
    return library.Tokenizer.from_str(to_json(vocabulary_of(GgufFile(source))))


def streamed(tokenizer: Any, tokens: list[int], *, is_start: bool = True) -> list[str]:
    stream = TextStream(TokenText(tokenizer), is_start=is_start)
    return [*map(stream.push, tokens), stream.flush()]


@pytest.mark.parametrize("kind", ["byte_level", "bare"])
def test_every_text_comes_back(kind: str, request: pytest.FixtureRequest) -> None:
    tokenizer = request.getfixturevalue(kind)
    for text in (*TEXTS, *noise(100, seed=3)):
        if "\u2581" not in text and "<|" not in text:  # the one is a space, the other not written
            assert "".join(streamed(tokenizer, tokenizer.encode(text).ids)) == text


@pytest.mark.parametrize("kind", ["byte_level", "spaced"])
def test_a_character_of_several_tokens_comes_whole(
    kind: str, request: pytest.FixtureRequest
) -> None:
    tokenizer = request.getfixturevalue(kind)
    tokens = tokenizer.encode(BEE).ids[-4:]
    assert streamed(tokenizer, tokens) == ["", "", "", BEE, ""]
    assert streamed(tokenizer, tokens[:3]) == ["", "", "", "\ufffd"]


def test_half_a_character_spoils_nothing_else(spaced: Any) -> None:
    bee = spaced.encode(BEE).ids[-4:]
    word = spaced.token_to_id("hello")
    tokens = [*bee, *bee[:2], word, *bee[:1], *bee, word]
    assert "".join(streamed(spaced, tokens)) == f"{BEE}\ufffdhello\ufffd{BEE}hello"


def test_control_tokens_write_nothing(byte_level: Any) -> None:
    assert streamed(byte_level, byte_level.encode("a<|im_end|>b").ids) == ["a", "", "b", ""]


def test_the_space_before_the_first_word_belongs_to_no_text(spaced: Any) -> None:
    tokens = spaced.encode("hello").ids
    assert "".join(streamed(spaced, tokens)) == "hello"
    assert "".join(streamed(spaced, spaced.encode(" hello").ids)) == " hello"
    assert "".join(streamed(spaced, [spaced.token_to_id("<s>"), *tokens])) == "hello"


def test_within_a_text_the_space_before_a_word_stays(spaced: Any) -> None:
    assert "".join(streamed(spaced, spaced.encode("hello").ids, is_start=False)) == " hello"


def test_an_unknown_way_of_writing_is_damage_and_not_nonsense() -> None:
    tokenizer: Any = library.Tokenizer(_models.BPE())
    with pytest.raises(ModelDamagedError, match="decoder is unknown"):
        TokenText(tokenizer)
    tokenizer.decoder = _decoders.WordPiece()
    with pytest.raises(ModelDamagedError, match="decoder is unknown"):
        TokenText(tokenizer)
    tokenizer.decoder = _decoders.Metaspace()
    assert TokenText(tokenizer).has_space_prefix
