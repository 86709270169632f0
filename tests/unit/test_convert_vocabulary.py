"""From a GGUF's vocabulary to the tokens of a text, and which tokens begin and end one."""

from pathlib import Path
from typing import Any

import pytest
import tokenizers as untyped_tokenizers

from rbee_shared.errors import UnimplementedError
from rbee_worker.convert.gguf import GgufDamagedError, GgufFile
from rbee_worker.convert.tokenizer import to_json
from rbee_worker.convert.vocabulary import Vocabulary, vocabulary_of
from tests.tiny_llama import CONTROL, NORMAL, SPECIALS, TinyLlama, vocabulary

library: Any = untyped_tokenizers
USER_DEFINED = 4


def read(tmp_path: Path, **metadata: Any) -> Vocabulary:
    named = {f"tokenizer.ggml.{key}": value for key, value in metadata.items()}
    source = TinyLlama(layers=1, metadata=named).write(tmp_path / "tiny.gguf")
    return vocabulary_of(GgufFile(source))


def among(*extra: str) -> list[str]:
    """Return the tokens with those in the place of the first ones, which are control tokens."""
    return [*extra, *vocabulary()[len(extra) :]]


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


def test_only_control_tokens_end_an_answer_by_their_name(tmp_path: Path) -> None:
    tokens = among("</s>", "<end_of_turn>")
    types = [USER_DEFINED, CONTROL, *[NORMAL] * (len(tokens) - 2)]
    found = read(tmp_path, tokens=tokens, token_type=types, eos_token_id=None)
    assert [found.tokens[number] for number in found.ends] == ["<end_of_turn>"]


def test_a_byte_without_a_token_is_lost_and_its_neighbours_stay_apart(tmp_path: Path) -> None:
    tokens = [each for each in vocabulary() if each != "z"]
    types = [NORMAL] * len(tokens)
    assert encode(read(tmp_path, tokens=tokens, token_type=types), "hze") == ["h", "e"]


def test_a_merge_counts_where_it_is_said_first(tmp_path: Path) -> None:
    tokens = among("el")
    types = [NORMAL] * len(tokens)
    merges = ["h e", "e l", "l l", "he ll", "h e"]
    assert encode(read(tmp_path, tokens=tokens, token_type=types, merges=merges), "hell") == [
        "hell"
    ]


def test_a_word_that_is_a_token_is_it_where_the_way_of_cutting_says_so(tmp_path: Path) -> None:
    tokens = among("aye")
    types = [NORMAL] * len(tokens)
    llama3 = read(tmp_path, tokens=tokens, token_type=types, pre="llama-bpe")
    qwen2 = read(tmp_path, tokens=tokens, token_type=types, pre="qwen2")
    assert encode(llama3, "aye") == ["aye"]
    assert encode(qwen2, "aye") == ["a", "y", "e"]


def test_text_is_not_normalised(tmp_path: Path) -> None:
    tokenizer = library.Tokenizer.from_str(to_json(read(tmp_path, pre="qwen2")))
    assert tokenizer.decode(tokenizer.encode("e\u0301").ids) == "e\u0301"


def test_an_unknown_way_of_cutting_is_refused_with_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(UnimplementedError, match="`viking` is not known") as caught:
        read(tmp_path, pre="viking")
    assert "`qwen2`" in caught.value.hint


@pytest.mark.parametrize("model", ["t5", "bert", "rwkv", "plamo2", "gemma4", "no_vocab"])
def test_other_kinds_of_vocabularies_are_refused_by_name(model: str, tmp_path: Path) -> None:
    with pytest.raises(UnimplementedError, match=f"`{model}`") as caught:
        read(tmp_path, model=model)
    assert caught.value.reason == "TOKENIZER_UNSUPPORTED"


@pytest.mark.parametrize(
    "broken",
    [
        {"tokens": ["a", "b"]},
        {"tokens": [*vocabulary()[:-1], "he"]},
        {"tokens": [*vocabulary()[:-1], ""]},
        {"tokens": None},
        {"tokens": [1, 2]},
        {"tokens": [str(number) for number in range(1_000)], "token_type": [NORMAL] * 1_000},
        {"token_type": None},
        {"token_type": ["a"] * len(vocabulary())},
        {"merges": None},
        {"merges": [7]},
        {"merges": ["h"]},
        {"merges": ["h q"]},
        {"merges": ["no such"]},
        {"merges": [" "]},
        {"bos_token_id": 10_000},
        {"eos_token_id": "the end"},
        {"eot_token_id": 2**31},
    ],
    ids=str,
)
def test_a_vocabulary_that_does_not_hold_together_is_damage(
    broken: dict[str, Any], tmp_path: Path
) -> None:
    with pytest.raises(GgufDamagedError):
        to_json(read(tmp_path, **broken))
