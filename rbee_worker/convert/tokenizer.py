"""A GGUF's vocabulary as a tokenizer of the tokenizers library."""

from typing import Any

import tokenizers as untyped_tokenizers
from tokenizers import decoders, models, pre_tokenizers

from rbee_worker.convert.gguf import GgufDamagedError
from rbee_worker.convert.vocabulary import CONTROL, LLAMA3, USER_DEFINED, Vocabulary

library: Any = untyped_tokenizers
_models: Any = models
_pre: Any = pre_tokenizers
_decoders: Any = decoders

LLAMA3_PATTERN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)


def to_json(vocabulary: Vocabulary) -> str:
    """Return the vocabulary as `tokenizer.json` has it.

    Raises:
        GgufDamagedError: its merges are not of its tokens.
    """
    numbers = {token: number for number, token in enumerate(vocabulary.tokens)}
    merges = [tuple(each.split(" ", 1)) for each in vocabulary.merges]
    ignore_merges = vocabulary.cut == LLAMA3  # a whole word that is a token is that token
    try:
        model = _models.BPE(vocab=numbers, merges=merges, ignore_merges=ignore_merges)
    except Exception as error:  # the library raises bare Exception
        raise GgufDamagedError("the merges of the vocabulary are not of its tokens") from error
    tokenizer: Any = library.Tokenizer(model)
    tokenizer.pre_tokenizer = _cutter(vocabulary.cut)
    tokenizer.decoder = _decoders.ByteLevel()
    tokenizer.add_tokens(_added(vocabulary, USER_DEFINED))
    tokenizer.add_special_tokens(_added(vocabulary, CONTROL))
    return str(tokenizer.to_str(pretty=True))


def _cutter(cut: str) -> Any:
    if cut == LLAMA3:
        split = _pre.Split(library.Regex(LLAMA3_PATTERN), "isolated")
        return _pre.Sequence([split, _pre.ByteLevel(add_prefix_space=False, use_regex=False)])
    digits = _pre.Digits(individual_digits=True)
    return _pre.Sequence([digits, _pre.ByteLevel(add_prefix_space=False, use_regex=True)])


def _added(vocabulary: Vocabulary, kind: int) -> list[Any]:
    return [
        library.AddedToken(token, special=kind == CONTROL, normalized=False)
        for token, type_ in zip(vocabulary.tokens, vocabulary.types, strict=True)
        if type_ == kind
    ]
