"""From a GGUF's vocabulary to the tokens of a text, and which tokens begin and end one."""

from pathlib import Path
from typing import Any

import pytest
import tokenizers as untyped_tokenizers

from rbee_worker.convert.gguf import GgufFile
from rbee_worker.convert.tokenizer import to_json
from rbee_worker.convert.vocabulary import Vocabulary, vocabulary_of
from tests.tiny_llama import NORMAL, SPECIALS, TinyLlama, vocabulary

library: Any = untyped_tokenizers
USER_DEFINED = 4


def read(tmp_path: Path, **metadata: Any) -> Vocabulary:
    named = {f"tokenizer.ggml.{key}": value for key, value in metadata.items()}
    source = TinyLlama(layers=1, metadata=named).write(tmp_path / "tiny.gguf")
    return vocabulary_of(GgufFile(source))


def encode(found: Vocabulary, text: str) -> list[str]:
    return library.Tokenizer.from_str(to_json(found)).encode(text).tokens


def test_merges_make_words_and_control_tokens_stay_whole(tmp_path: Path) -> None:
    found = read(tmp_path)
    assert encode(found, "<|im_start|>hello<|im_end|>") == [
        *("<|im_start|>", "hell", "o", "<|im_end|>")
    ]


@pytest.mark.parametrize("text", ["a b\tc\n", "año 🐝", "蜂", "\u0000", "12 34"])
@pytest.mark.parametrize("cut", ["smollm", "llama-bpe"])
def test_every_text_comes_back(text: str, cut: str, tmp_path: Path) -> None:
    tokenizer = library.Tokenizer.from_str(to_json(read(tmp_path, pre=cut)))
    assert tokenizer.decode(tokenizer.encode(text).ids) == text


def test_the_two_ways_of_cutting_differ_in_digits(tmp_path: Path) -> None:
    tokens = [*vocabulary()[:-1], "12"]
    merges = ["1 2"]
    smollm = read(tmp_path, tokens=tokens, merges=merges)
    llama3 = read(tmp_path, tokens=tokens, merges=merges, pre="llama-bpe")
    assert encode(smollm, "1212") == ["1", "2", "1", "2"]
    assert encode(llama3, "1212") == ["12", "1", "2"]


def test_a_token_of_the_user_is_whole_but_not_special(tmp_path: Path) -> None:
    types = [NORMAL] * len(vocabulary())
    types[2] = USER_DEFINED
    found = read(tmp_path, token_type=types)
    tokenizer = library.Tokenizer.from_str(to_json(found))
    assert tokenizer.encode("<|im_end|>").tokens == ["<|im_end|>"]
    assert tokenizer.decode([2], skip_special_tokens=True) == "<|im_end|>"


def test_an_answer_ends_at_what_the_file_names_and_at_known_control_tokens(tmp_path: Path) -> None:
    assert read(tmp_path).ends == (2, 0)
    assert read(tmp_path, eot_token_id=7).ends == (2, 7, 0)
    types = [NORMAL] * len(vocabulary())
    assert read(tmp_path, token_type=types).ends == (2,)
    assert read(tmp_path, token_type=types, eos_token_id=None).ends == ()


def test_the_beginning_is_as_the_file_says_and_as_llama_3_means(tmp_path: Path) -> None:
    assert SPECIALS[read(tmp_path).bos or 0] == "<|im_start|>"
    assert read(tmp_path, bos_token_id=None).bos is None
    assert not read(tmp_path).add_bos
    assert read(tmp_path, add_bos_token=True).add_bos
    assert read(tmp_path, pre="llama-bpe").add_bos
    assert not read(tmp_path, pre="llama-bpe", add_bos_token=False).add_bos
