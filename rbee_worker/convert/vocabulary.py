"""The vocabulary of a GGUF: its tokens, how it merges them, which begin and which end an answer."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

from rbee_shared.errors import UnimplementedError
from rbee_worker.convert.gguf import GgufDamagedError, GgufFile
from rbee_worker.convert.pre_tokenizers import PRE_TOKENIZERS
from rbee_worker.convert.shape import EMBEDDING
from rbee_worker.convert.special_tokens import ends_of, token_of

BYTE_PAIR, SENTENCE_PIECE = "gpt2", "llama"


@dataclass(frozen=True, slots=True)
class BytePair:
    """Merges of bytes, the first ones first; `cut` names how text is cut before."""

    merges: tuple[str, ...]
    cut: str


@dataclass(frozen=True, slots=True)
class SentencePiece:
    """Merges of characters: whatever makes the token of the best score, first.

    `has_space_prefix`: a text begins with a space that nobody wrote.
    """

    scores: tuple[float, ...]
    has_space_prefix: bool


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """The tokens of a model; a token's number is its place.

    `ends` are the tokens that end an answer, `add_bos` says whether a raw prompt starts with `bos`.
    """

    tokens: tuple[str, ...]
    types: tuple[int, ...]
    merging: BytePair | SentencePiece
    bos: int | None
    ends: tuple[int, ...]
    add_bos: bool


def vocabulary_of(file: GgufFile) -> Vocabulary:
    """Read the vocabulary of a GGUF.

    Raises:
        UnimplementedError: it is of a kind that is not known here.
        GgufDamagedError: it is missing or does not hold together.
    """
    kind = file.text("tokenizer.ggml.model")
    if kind not in (BYTE_PAIR, SENTENCE_PIECE):
        raise UnimplementedError(
            f"the tokenizer model `{kind}` cannot be converted",
            reason="TOKENIZER_UNSUPPORTED",
            hint=f"`{BYTE_PAIR}` and `{SENTENCE_PIECE}` can",
        )
    tokens, types = _tokens(file)
    merging = _byte_pair(file) if kind == BYTE_PAIR else _sentence_piece(file, len(tokens))
    bos = token_of(file, "bos_token_id", len(tokens))
    said = file.value("tokenizer.ggml.add_bos_token")
    return Vocabulary(
        tokens=tuple(tokens),
        types=tuple(types),
        merging=merging,
        bos=bos,
        ends=ends_of(file, tokens, types),
        add_bos=said if isinstance(said, bool) else _adds_bos(merging),
    )


def _tokens(file: GgufFile) -> tuple[list[str], list[int]]:
    tokens = file.texts("tokenizer.ggml.tokens")
    types = file.integers("tokenizer.ggml.token_type")
    if len(types) != len(tokens) or len(set(tokens)) != len(tokens) or "" in tokens:
        raise GgufDamagedError(f"`{file.name}`: the vocabulary does not hold together")
    if len(tokens) > file.shape(EMBEDDING)[0]:
        raise GgufDamagedError(f"`{file.name}` has more tokens than embeddings")
    return tokens, types


def _byte_pair(file: GgufFile) -> BytePair:
    cut = file.text("tokenizer.ggml.pre")
    if cut not in PRE_TOKENIZERS:
        known = ", ".join(f"`{each}`" for each in PRE_TOKENIZERS)
        raise UnimplementedError(
            f"the pre-tokenizer `{cut}` is not known",
            reason="TOKENIZER_UNSUPPORTED",
            hint=f"known are {known}; a guess would give plausible nonsense",
        )
    return BytePair(merges=tuple(file.texts("tokenizer.ggml.merges")), cut=cut)


def _sentence_piece(file: GgufFile, count: int) -> SentencePiece:
    scores = file.value("tokenizer.ggml.scores")
    if not isinstance(scores, list) or len(cast("list[Any]", scores)) != count:
        raise GgufDamagedError(f"`{file.name}` does not say a score for each token")
    if not all(_is_finite(each) for each in cast("list[Any]", scores)):
        raise GgufDamagedError(f"`{file.name}`: not every score is a number")
    said = file.value("tokenizer.ggml.add_space_prefix")
    return SentencePiece(
        scores=tuple(cast("Sequence[float]", scores)),
        has_space_prefix=said if isinstance(said, bool) else True,  # what SentencePiece does
    )


def _is_finite(value: Any) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)


def _adds_bos(merging: BytePair | SentencePiece) -> bool:
    # what files mean when they do not say it: who reads them knows
    return isinstance(merging, SentencePiece) or PRE_TOKENIZERS[merging.cut].adds_bos
