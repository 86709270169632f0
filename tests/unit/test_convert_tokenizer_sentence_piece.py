"""SentencePiece vocabularies against the algorithm itself, written down plainly."""

import re
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import tokenizers as untyped_tokenizers

from rbee_shared.errors import UnimplementedError
from rbee_worker.convert import sentence_piece
from rbee_worker.convert.gguf import GgufDamagedError, GgufFile
from rbee_worker.convert.tokenizer import to_json
from rbee_worker.convert.vocabulary import SentencePiece, Vocabulary, vocabulary_of
from tests import tiny_vocabulary
from tests.tiny_vocabulary import BYTE_TOKENS, SPACE, USERS_OWN

library: Any = untyped_tokenizers

TRAINED = ("hello there, hello world", "aaaaaaaaaaaa abababab ====", "na\u00efve \U0001f41d")
ASKED = (
    *TRAINED,
    "hello",
    " hello  world ",
    "aaaaaaa",
    "aba" * 9,
    "x\n\n\ny",
    "\u4f60\U0001f984",
    "",
    "<0x41>",
)


def made(tmp_path: Path, **metadata: Any) -> Vocabulary:
    source = tiny_vocabulary.sentence_piece(tmp_path / "tiny.gguf", TRAINED, longest=4, **metadata)
    return vocabulary_of(GgufFile(source))


def loaded(found: Vocabulary) -> Any:
    return library.Tokenizer.from_str(to_json(found))


def reference(found: Vocabulary, text: str) -> list[str]:
    """Merge the neighbours that make the token of the best score, the leftmost, again and again."""
    assert isinstance(found.merging, SentencePiece)
    known = set(found.tokens)
    scores = {
        token: score
        for token, score in zip(found.tokens, found.merging.scores, strict=True)
        if token not in BYTE_TOKENS and not (token.startswith("<") and len(token) > 1)
    }
    letters = list(text.replace(" ", SPACE))
    while True:
        pairs = [(scores.get(a + b), at) for at, (a, b) in enumerate(pairwise(letters))]
        best = max(((s, -at) for s, at in pairs if s is not None), default=None)
        if best is None:
            break
        at = -best[1]
        letters[at : at + 2] = [letters[at] + letters[at + 1]]
    bytes_of = [
        [each] if each in known else [f"<0x{b:02X}>" for b in each.encode()] for each in letters
    ]
    return [token for tokens in bytes_of for token in tokens]


@pytest.mark.parametrize("text", ASKED)
def test_pairs_merge_by_the_score_of_what_they_make(text: str, tmp_path: Path) -> None:
    found = made(tmp_path, add_space_prefix=False)
    expected = [
        token
        for part in re.split("(\n\n|  )", text)  # tokens of the user are found first
        for token in ([part] if part in USERS_OWN else reference(found, part))
    ]
    assert loaded(found).encode(text).tokens == expected


@pytest.mark.parametrize("text", ["hello", " hello world ", "aba", "<0x41>", "\u4f60"])
def test_a_text_may_begin_with_a_space_that_nobody_wrote(text: str, tmp_path: Path) -> None:
    tokenizer = loaded(made(tmp_path))
    assert tokenizer.encode(text).tokens[0].startswith(SPACE)
    assert tokenizer.decode(tokenizer.encode(text).ids) == text


def test_what_follows_a_control_token_begins_a_text(tmp_path: Path) -> None:
    tokenizer = loaded(made(tmp_path))
    assert tokenizer.encode("<s>hello</s>").tokens == [
        *("<s>", *tokenizer.encode("hello").tokens, "</s>")
    ]


def test_a_text_that_looks_like_a_byte_or_a_control_token_is_only_text(tmp_path: Path) -> None:
    source = tiny_vocabulary.sentence_piece(tmp_path / "tiny.gguf", ("<0x41> <s>",), longest=5)
    tokenizer = loaded(vocabulary_of(GgufFile(source)))
    tokenizer.encode_special_tokens = True
    for text in ("<0x41>", "<s>"):
        assert text not in tokenizer.encode(text).tokens
        assert tokenizer.decode(tokenizer.encode(text).ids) == text


def test_a_prompt_begins_with_bos_unless_the_file_says_otherwise(tmp_path: Path) -> None:
    found = made(tmp_path)
    assert (found.bos, found.ends, found.add_bos) == (1, (2,), True)
    assert not made(tmp_path, add_bos_token=False).add_bos


@pytest.mark.parametrize("scores", [None, [1.0], [float("nan")] * 4, ["best"] * 4, 7.0], ids=str)
def test_scores_that_are_none_are_damage(scores: Any, tmp_path: Path) -> None:
    with pytest.raises(GgufDamagedError, match="score"):
        made(tmp_path, scores=scores)


def test_equal_scores_say_no_order_and_are_refused(tmp_path: Path) -> None:
    found = made(tmp_path)
    alike = made(tmp_path, scores=[0.0] * len(found.tokens))
    with pytest.raises(UnimplementedError, match="same score") as caught:
        to_json(alike)
    assert caught.value.reason == "TOKENIZER_UNSUPPORTED"


def test_a_vocabulary_without_bytes_cannot_write_every_text_and_is_refused(tmp_path: Path) -> None:
    found = made(tmp_path)
    tokens = [token.replace("<0x", "<0y") for token in found.tokens]
    with pytest.raises(UnimplementedError, match="single bytes"):
        to_json(made(tmp_path, tokens=tokens))


def test_an_endless_vocabulary_is_damage_and_not_a_long_wait(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = made(tmp_path)
    tokens = [*found.tokens[:-1], "a" * (sentence_piece.TOKEN_CHARS_MAX + 1)]
    with pytest.raises(GgufDamagedError, match="longer"):
        to_json(made(tmp_path, tokens=tokens))
    monkeypatch.setattr(sentence_piece, "MERGES_MAX", 10)
    with pytest.raises(GgufDamagedError, match="over 10 merges"):
        to_json(found)
    monkeypatch.setattr(sentence_piece, "CHARS_MAX", 10)
    with pytest.raises(GgufDamagedError, match="longer"):
        to_json(found)
