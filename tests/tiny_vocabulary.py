"""Vocabularies made from texts: whatever stands side by side in one of them is a token.

So a text that is cut at another place has other tokens.
"""

import random
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import tokenizers as untyped_tokenizers
from tokenizers import pre_tokenizers

from tests.tiny_llama import SPECIALS, TinyLlama, vocabulary

library: Any = untyped_tokenizers
_pre: Any = pre_tokenizers

NORMAL, UNKNOWN, CONTROL, USER_DEFINED, BYTE = 1, 2, 3, 4, 6
SPACE = "\u2581"
USERS_OWN = ("\n\n", "  ")
BYTE_TOKENS = [f"<0x{byte:02X}>" for byte in range(256)]


def byte_pair(path: Path, texts: Iterable[str], *, cut: str, **metadata: Any) -> Path:
    """Write a model whose tokens are single bytes and the pairs of them in the texts."""
    letters = _pre.ByteLevel(add_prefix_space=False, use_regex=False)
    written = [letters.pre_tokenize_str(text)[0][0] for text in texts]
    pairs = sorted({text[at : at + 2] for text in written for at in range(len(text) - 1)})
    random.Random(5).shuffle(pairs)
    singles = vocabulary()[: len(SPECIALS) + 256]
    tokens = [*singles, *pairs]
    found = {
        "pre": cut,
        "tokens": tokens,
        "token_type": [CONTROL if each in SPECIALS else NORMAL for each in tokens],
        "merges": [" ".join(pair) for pair in pairs],
    }
    return _written(path, found | metadata)


def sentence_piece(path: Path, texts: Iterable[str], *, longest: int, **metadata: Any) -> Path:
    """Write a model whose tokens are the letters, and what up to `longest` of them make."""
    written = [text.replace(" ", SPACE) for text in texts]
    given = ["<unk>", "<s>", "</s>", *BYTE_TOKENS, *USERS_OWN]
    letters = sorted({letter for text in written for letter in text if letter.isprintable()})
    words = sorted(
        {
            text[at : at + length]
            for text in written
            for length in range(2, longest + 1)
            for at in range(len(text) - length + 1)
            if text[at : at + length].isprintable()
        }
        - set(given)
    )
    random.Random(7).shuffle(words)
    tokens = [*given, *words, *letters]
    types = {"<unk>": UNKNOWN, "<s>": CONTROL, "</s>": CONTROL}
    types |= dict.fromkeys(BYTE_TOKENS, BYTE) | dict.fromkeys(USERS_OWN, USER_DEFINED)
    found = {
        "model": "llama",
        "pre": "default",
        "tokens": tokens,
        "scores": [float(-place) for place in range(len(tokens))],
        "token_type": [types.get(each, NORMAL) for each in tokens],
        "merges": None,
        "bos_token_id": 1,
        "eos_token_id": 2,
        "unknown_token_id": 0,
    }
    return _written(path, found | metadata)


def _written(path: Path, metadata: dict[str, Any]) -> Path:
    named = {f"tokenizer.ggml.{key}": value for key, value in metadata.items()}
    weights = np.zeros((len(metadata["tokens"]), 64), np.float32)
    tiny = TinyLlama(layers=1, metadata=named, tensors={"token_embd.weight": weights})
    return tiny.write(path)
