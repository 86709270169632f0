"""A SentencePiece vocabulary as a tokenizer of the tokenizers library.

SentencePiece merges the two neighbours that make the token of the best score, the leftmost of equal
ones. The library merges pairs by their rank. So each way to cut a token in two becomes a merge,
ranked by the token's score.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import tokenizers as untyped_tokenizers
from tokenizers import decoders, models, normalizers

from rbee_shared.errors import UnimplementedError
from rbee_worker.convert.gguf import GgufDamagedError
from rbee_worker.convert.special_tokens import NORMAL, UNUSED, USER_DEFINED
from rbee_worker.convert.vocabulary import SentencePiece

library: Any = untyped_tokenizers
_models: Any = models
_normalizers: Any = normalizers
_decoders: Any = decoders

SPACE = "\u2581"  # how the tokens write a space
BYTES = frozenset(f"<0x{byte:02X}>" for byte in range(256))
# Gemma, whose vocabulary is the largest in use, has 31, 1.5 million, and 0.5 million of these
TOKEN_CHARS_MAX = 128
CHARS_MAX = 16_000_000
MERGES_MAX = 2_000_000


def sentence_piece_tokenizer(
    tokens: Sequence[str], types: Sequence[int], merging: SentencePiece
) -> Any:
    """Return the tokenizer, without its added tokens.

    Raises:
        UnimplementedError: a text could be merged in more than one order, or not every text has
            tokens.
        GgufDamagedError: the tokens are longer, or make more merges, than those of any real one.
    """
    if not BYTES.issubset(tokens):
        raise _unsupported("the vocabulary has no tokens for single bytes")
    numbers = {token: number for number, token in enumerate(tokens)}
    merges = _merges(numbers, _mergeable(tokens, types, merging.scores))
    tokenizer: Any = library.Tokenizer(
        _models.BPE(vocab=numbers, merges=merges, byte_fallback=True)
    )
    spaces = _normalizers.Replace(" ", SPACE)
    written = [_decoders.Replace(SPACE, " "), _decoders.ByteFallback(), _decoders.Fuse()]
    if merging.has_space_prefix:
        spaces = _normalizers.Sequence([_normalizers.Prepend(SPACE), spaces])
        written.append(_decoders.Strip(" ", 1, 0))
    tokenizer.normalizer = spaces
    tokenizer.decoder = _decoders.Sequence(written)
    return tokenizer


def _mergeable(
    tokens: Sequence[str], types: Sequence[int], scores: Sequence[float]
) -> list[tuple[float, str]]:
    """Return what may come out of a merge, the best score first.

    No control token and no byte: those are never text, as SentencePiece itself has it. A token of
    the user is found before anything is merged, unless it is written with that other space.
    """
    found = [
        (-score, token)
        for token, kind, score in zip(tokens, types, scores, strict=True)
        if len(token) > 1
        and (kind in (NORMAL, UNUSED) or (kind == USER_DEFINED and SPACE in token))
    ]
    lengths = [len(token) for _, token in found]
    if max(lengths, default=0) > TOKEN_CHARS_MAX or sum(lengths) > CHARS_MAX:
        raise GgufDamagedError("the tokens of the vocabulary are longer than any real ones")
    return sorted(found)


def _merges(
    numbers: dict[str, int], mergeable: Sequence[tuple[float, str]]
) -> list[tuple[str, str]]:
    merges: list[tuple[str, str]] = []
    before: float | None = None
    for score, token in mergeable:
        pairs = list(_pairs(token, numbers))
        if pairs and score == before:
            raise _unsupported("tokens of the vocabulary have the same score")
        if pairs:
            merges += pairs
            before = score
        if len(merges) > MERGES_MAX:
            raise GgufDamagedError(f"the vocabulary makes over {MERGES_MAX} merges")
    return merges


def _pairs(token: str, numbers: dict[str, int]) -> Iterator[tuple[str, str]]:
    """Yield the ways to cut a token in two tokens.

    Where x+y and y+z both make the token, x y z must become (xy) z, the leftmost. So x+y comes
    first: that is where what follows the cut repeats the beginning of the token.
    """
    cuts = [at for at in range(1, len(token)) if token[:at] in numbers and token[at:] in numbers]
    if len(cuts) > 1:
        cuts.sort(key=lambda at: not token.startswith(token[at:]))
    return ((token[:at], token[at:]) for at in cuts)


def _unsupported(what: str) -> UnimplementedError:
    return UnimplementedError(
        f"{what}, so that a text could have other tokens than those the model knows",
        reason="TOKENIZER_UNSUPPORTED",
        hint="another file of the same model may have been made by a better converter",
    )
