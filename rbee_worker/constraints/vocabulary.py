"""A model's tokens as the grammar library needs them, and which of them an answer may hold.

The library could read `tokenizer.json` itself, but takes `<tool_call>` and its like for control
tokens where they are text, and the text of control tokens for them: a form that asks for either
could then not be answered. So it is told what each token writes, as answers are written from it.
"""

from collections.abc import Sequence
from typing import Any

import llguidance
import numpy as np
import tokenizers as untyped_tokenizers
from numpy.typing import NDArray

from rbee_shared.errors import FailedPreconditionError
from rbee_worker.constraints.forced import ForcedText
from rbee_worker.text.token_text import TokenText

library: Any = llguidance
tokenizer_library: Any = untyped_tokenizers

WORD_BITS = 32


class VocabularyUnusableError(FailedPreconditionError):
    """The grammar library cannot use the model's tokens."""

    reason = "CONSTRAINTS_UNAVAILABLE"
    hint = "this model answers without a constraint; another model can be held to one"


class Vocabulary:
    """The tokens of one model. Never changed, so threads may share it."""

    def __init__(
        self, tokenizer_json: str, *, vocab_size: int, eos_token_ids: Sequence[int]
    ) -> None:
        """Read the tokens. Blocking: about 0.5 s for 50 thousand.

        Raises:
            ModelDamagedError: the tokenizer writes its tokens in no known way.
            VocabularyUnusableError: the tokenizer cannot be read.
        """
        self.size = vocab_size
        try:
            tokenizer: Any = tokenizer_library.Tokenizer.from_str(tokenizer_json)
        except Exception as error:  # the library raises bare Exception
            raise VocabularyUnusableError("the model's tokenizer cannot be read") from error
        text = TokenText(tokenizer)
        # a tokenizer may have tokens that the graph has not, and the other way round
        count = max(vocab_size, tokenizer.get_vocab_size(with_added_tokens=True))
        written = [text.written(token) for token in range(count)]
        ends = [each for each in eos_token_ids if 0 <= each < vocab_size]
        self.tokens: Any = library.LLTokenizer(
            library.TokenizerWrapper(_Tokens(ForcedText(tokenizer, written), written, ends)),
            eos_token=ends or None,
        )
        self.word_count = -(-count // WORD_BITS)
        self.writable = _mask_of(written[:vocab_size], ends)


class _Tokens:
    """What the library asks of a tokenizer. Tokens that write nothing are control tokens to it."""

    def __init__(self, encode: ForcedText, written: Sequence[bytes], ends: Sequence[int]) -> None:
        self._encode = encode
        silent = [token for token, each in enumerate(written) if not each or token in ends]
        self.special_token_ids = silent
        self.tokens = list(written)
        for token in silent:
            self.tokens[token] = f"<{token}>".encode()  # a name, for its messages
        self.eos_token_id = next(iter([*ends, *silent]), 0)
        self.bos_token_id = None

    def __call__(self, text: str | bytes) -> list[int]:
        return self._encode(text)


def _mask_of(written: Sequence[bytes], ends: Sequence[int]) -> NDArray[np.int32]:
    """Return the mask of the tokens that write something, and of those that end an answer.

    A grammar may name control tokens by number, and the graph may have more than the tokenizer.
    """
    bits = np.zeros(-(-len(written) // WORD_BITS) * WORD_BITS, np.uint8)
    bits[: len(written)] = [bool(each) for each in written]
    bits[list(ends)] = 1
    return np.packbits(bits, bitorder="little").view(np.int32)
