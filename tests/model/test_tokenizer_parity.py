"""Converted tokenizers against llama.cpp, which GGUF files are made for: the same tokens."""

from pathlib import Path
from typing import Any

import pytest
import tokenizers as untyped_tokenizers

from rbee_worker.convert.gguf import GgufFile
from rbee_worker.convert.pre_tokenizers import PRE_TOKENIZERS
from rbee_worker.convert.tokenizer import to_json
from rbee_worker.convert.vocabulary import vocabulary_of
from tests import tiny_vocabulary
from tests.llama_cpp import llama_cpp, needs_llama_cpp
from tests.texts import TEXTS, noise

library: Any = untyped_tokenizers

pytestmark = [pytest.mark.model, needs_llama_cpp]

NOISE = noise(300, seed=11)
PROSE = [path.read_text()[:5_000] for path in sorted(Path(__file__).parents[1].glob("unit/*.py"))]


def differing(gguf: Path, texts: list[str]) -> list[str]:
    """Return the texts that do not have the tokens that llama.cpp gives them."""
    found = vocabulary_of(GgufFile(gguf))
    tokenizer = library.Tokenizer.from_str(to_json(found))
    wrong: list[str] = []
    with llama_cpp(gguf) as reference:
        for plain in (False, True):
            tokenizer.encode_special_tokens = plain
            for text in texts:
                tokens: list[int] = tokenizer.encode(text, add_special_tokens=False).ids
                if tokens != reference.tokens(text, plain=plain):
                    wrong.append(text)
        bos = [found.bos] if found.add_bos else []
        assert reference.tokens("a", begun=True) == [*bos, *reference.tokens("a")]
    return wrong


def test_the_real_model_has_the_tokens_that_llama_cpp_gives_it(gguf: Path) -> None:
    assert differing(gguf, [*TEXTS, *NOISE, *PROSE]) == []


@pytest.mark.parametrize("cut", PRE_TOKENIZERS)
def test_every_known_way_of_cutting_cuts_as_llama_cpp_does(cut: str, tmp_path: Path) -> None:
    texts = [*TEXTS, *NOISE]
    source = tiny_vocabulary.byte_pair(tmp_path / "tiny.gguf", texts, cut=cut)
    assert differing(source, texts) == []


@pytest.mark.parametrize("prefix", ["a space", ""], ids=["space", "bare"])
@pytest.mark.parametrize("longest", [2, 5])
def test_sentence_piece_merges_as_llama_cpp_does(longest: int, prefix: str, tmp_path: Path) -> None:
    # llama.cpp takes the text `<0x41>` for the byte; SentencePiece does not, and neither does this
    texts = [text.replace("<0x", "0x") for text in (*TEXTS, *NOISE)]
    source = tiny_vocabulary.sentence_piece(
        tmp_path / "tiny.gguf", texts[: len(TEXTS)], longest=longest, add_space_prefix=bool(prefix)
    )
    assert differing(source, texts) == []
