"""A GGUF's vocabulary as `tokenizer.json`, the file of the tokenizers library."""

from typing import Any

import tokenizers as untyped_tokenizers

from rbee_worker.convert.byte_pair import byte_pair_tokenizer
from rbee_worker.convert.sentence_piece import sentence_piece_tokenizer
from rbee_worker.convert.special_tokens import CONTROL, UNKNOWN, USER_DEFINED
from rbee_worker.convert.vocabulary import BytePair, Vocabulary

library: Any = untyped_tokenizers


def to_json(vocabulary: Vocabulary) -> str:
    """Return the vocabulary as `tokenizer.json` has it.

    Raises:
        GgufDamagedError: its merges are not of its tokens, or its tokens are no tokens.
        UnimplementedError: its tokens do not say in which order they merge.
    """
    merging = vocabulary.merging
    tokenizer: Any
    if isinstance(merging, BytePair):
        tokenizer = byte_pair_tokenizer(vocabulary.tokens, merging)
    else:
        tokenizer = sentence_piece_tokenizer(vocabulary.tokens, vocabulary.types, merging)
    tokenizer.add_tokens(_added(vocabulary, USER_DEFINED))
    tokenizer.add_special_tokens(_added(vocabulary, CONTROL, UNKNOWN))
    return str(tokenizer.to_str(pretty=False))


def _added(vocabulary: Vocabulary, *kinds: int) -> list[Any]:
    return [
        library.AddedToken(token, special=kind != USER_DEFINED, normalized=False)
        for token, kind in zip(vocabulary.tokens, vocabulary.types, strict=True)
        if kind in kinds
    ]
