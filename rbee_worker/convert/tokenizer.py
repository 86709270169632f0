"""A GGUF's vocabulary as a `tokenizer.json` of the tokenizers library.

A GGUF names how text is cut before byte-pair encoding; a name that is not known here is refused,
because a wrong cut gives plausible nonsense.
"""

from typing import Any

import tokenizers as untyped_tokenizers
from tokenizers import decoders, models, pre_tokenizers

from rbee_shared.errors import UnimplementedError
from rbee_worker.convert.gguf import GgufDamagedError, GgufFile

library: Any = untyped_tokenizers
_models: Any = models
_pre: Any = pre_tokenizers
_decoders: Any = decoders

CONTROL, USER_DEFINED = 3, 4  # types of tokens in a GGUF
BYTE_PAIR = "gpt2"
LLAMA3_PATTERN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)


def tokenizer_of(file: GgufFile) -> Any:
    """Return the tokenizer of a GGUF.

    Raises:
        UnimplementedError: its model or its way of cutting text is not known here.
        GgufDamagedError: it has no vocabulary.
    """
    kind, cut = file.text("tokenizer.ggml.model"), file.text("tokenizer.ggml.pre")
    if kind != BYTE_PAIR:
        raise UnimplementedError(
            f"the tokenizer model `{kind}` cannot be converted yet",
            reason="TOKENIZER_UNSUPPORTED",
            hint=f"`{BYTE_PAIR}` can",
        )
    tokens: list[str] | None = file.value("tokenizer.ggml.tokens")
    merges: list[str] | None = file.value("tokenizer.ggml.merges")
    types: list[int] | None = file.value("tokenizer.ggml.token_type")
    if not tokens or merges is None or not types:
        raise GgufDamagedError("the file has no vocabulary")
    tokenizer: Any = library.Tokenizer(
        _models.BPE(
            vocab={token: number for number, token in enumerate(tokens)},
            merges=[tuple(merge.split(" ", 1)) for merge in merges],
            ignore_merges=cut == "llama-bpe",
        )
    )
    tokenizer.pre_tokenizer = _cutter(cut)
    tokenizer.decoder = _decoders.ByteLevel()
    for kind_of_token, add in (
        (USER_DEFINED, tokenizer.add_tokens),
        (CONTROL, tokenizer.add_special_tokens),
    ):
        special = kind_of_token == CONTROL
        add(
            [
                library.AddedToken(token, special=special, normalized=False)
                for token, type_ in zip(tokens, types, strict=True)
                if type_ == kind_of_token
            ]
        )
    return tokenizer


def _cutter(cut: str) -> Any:
    match cut:
        case "smollm":
            digits = _pre.Digits(individual_digits=True)
            return _pre.Sequence([digits, _pre.ByteLevel(add_prefix_space=False, use_regex=True)])
        case "llama-bpe":
            split = _pre.Split(library.Regex(LLAMA3_PATTERN), "isolated")
            return _pre.Sequence([split, _pre.ByteLevel(add_prefix_space=False, use_regex=False)])
        case _:
            raise UnimplementedError(
                f"the pre-tokenizer `{cut}` is not known",
                reason="TOKENIZER_UNSUPPORTED",
                hint="`smollm` and `llama-bpe` are; a guess would give plausible nonsense",
            )
