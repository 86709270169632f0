"""What is read for calibration: all kinds of text, as much as fits, for whatever vocabulary."""

from pathlib import Path

from rbee_worker.convert.calibration_text import (
    PASSAGES,
    TOKENS_MAX,
    TOKENS_MIN,
    calibration_tokens,
)
from rbee_worker.convert.gguf import GgufFile
from rbee_worker.convert.tokenizer import to_json
from rbee_worker.convert.vocabulary import BytePair, Vocabulary, vocabulary_of
from tests.tiny_llama import TinyLlama

NO_TEXT = """{"version": "1.0", "added_tokens": [], "normalizer": null, "pre_tokenizer": null,
"post_processor": null, "decoder": null, "truncation": null, "padding": null,
"model": {"type": "WordLevel", "vocab": {"nothing": 0}, "unk_token": "nothing"}}"""


def tokens_of(vocabulary: Vocabulary, context: int = 8192) -> list[int]:
    return calibration_tokens(to_json(vocabulary), vocabulary, context)


def test_every_passage_has_its_share_and_stands_between_its_control_tokens(tmp_path: Path) -> None:
    vocabulary = vocabulary_of(GgufFile(TinyLlama().write(tmp_path / "tiny.gguf")))
    found = tokens_of(vocabulary)
    assert TOKENS_MIN < len(found) <= TOKENS_MAX
    assert found.count(1) == found.count(2) == len(PASSAGES)
    assert (found[0], found[-1]) == (1, 2)


def test_a_short_context_takes_what_fits(tmp_path: Path) -> None:
    vocabulary = vocabulary_of(GgufFile(TinyLlama().write(tmp_path / "tiny.gguf")))
    assert tokens_of(vocabulary, context=1) == [1]
    assert tokens_of(vocabulary, context=60) == tokens_of(vocabulary)[:60]


def test_a_vocabulary_that_knows_no_text_is_read_itself() -> None:
    bare = Vocabulary(
        tokens=tuple(f"<{number}>" for number in range(300)),
        types=(1,) * 300,
        merging=BytePair(merges=(), cut="smollm"),
        bos=None,
        ends=(),
        add_bos=False,
    )
    found = calibration_tokens(NO_TEXT, bare, 8192)
    assert len(found) >= TOKENS_MIN
    assert max(found) < 300
    assert len(set(found)) >= TOKENS_MIN
