"""A byte-pair vocabulary as a tokenizer of the tokenizers library."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import tokenizers as untyped_tokenizers
from tokenizers import decoders, models, pre_tokenizers

from rbee_worker.convert.gguf import GgufDamagedError
from rbee_worker.convert.pre_tokenizers import PRE_TOKENIZERS, PreTokenizer
from rbee_worker.convert.vocabulary import BytePair

library: Any = untyped_tokenizers
_models: Any = models
_pre: Any = pre_tokenizers
_decoders: Any = decoders


def byte_pair_tokenizer(tokens: Sequence[str], merging: BytePair) -> Any:
    """Return the tokenizer, without its added tokens.

    There is no normaliser, though Qwen's own files have one (NFC): a GGUF does not name it and
    llama.cpp has none, and without it what comes out of the tokens is what was put in.

    Raises:
        GgufDamagedError: the merges are not of the tokens.
    """
    numbers = {token: number for number, token in enumerate(tokens)}
    cut = PRE_TOKENIZERS[merging.cut]
    # a merge that is said twice counts where it is said first; the library would take the last
    merges = [tuple(each.split(" ", 1)) for each in dict.fromkeys(merging.merges)]
    try:
        model = _models.BPE(vocab=numbers, merges=merges, ignore_merges=cut.keeps_tokens)
    except Exception as error:  # the library raises bare Exception
        raise GgufDamagedError("the merges of the vocabulary are not of its tokens") from error
    tokenizer: Any = library.Tokenizer(model)
    tokenizer.pre_tokenizer = _cutter(cut, numbers)
    tokenizer.decoder = _decoders.ByteLevel()
    return tokenizer


def _cutter(cut: PreTokenizer, numbers: Mapping[str, int]) -> Any:
    splits = [_pre.Split(library.Regex(pattern), "isolated") for pattern in cut.patterns]
    steps = [*splits, _pre.ByteLevel(add_prefix_space=False, use_regex=False)]
    lost = "".join(sorted(letter for letter in _pre.ByteLevel.alphabet() if letter not in numbers))
    if lost:
        # bytes without a token have none in any text, but what stood beside them stays apart
        steps.append(_pre.Split(library.Regex(f"[{re.escape(lost)}]"), "removed"))
    return _pre.Sequence(steps)
