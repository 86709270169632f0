"""A model's tokens as the grammar library needs them, and which of them an answer may hold."""

from collections.abc import Sequence
from typing import Any

import llguidance
import numpy as np
from numpy.typing import NDArray

from rbee_shared.errors import FailedPreconditionError

library: Any = llguidance

WORD_BITS = 32


class VocabularyUnusableError(FailedPreconditionError):
    """The grammar library cannot read the model's tokenizer."""

    reason = "CONSTRAINTS_UNAVAILABLE"
    hint = "this model answers without a constraint; another model can be held to one"


class Vocabulary:
    """The tokens of one model. Never changed, so threads may share it."""

    def __init__(
        self, tokenizer_json: str, *, vocab_size: int, eos_token_ids: Sequence[int]
    ) -> None:
        """Read the tokens. Blocking: about 0.3 s for 50 thousand.

        Raises:
            VocabularyUnusableError: the tokenizer is of a kind that the library does not know.
        """
        self.size = vocab_size
        ends = [each for each in eos_token_ids if 0 <= each < vocab_size]
        try:
            self.tokens: Any = library.LLTokenizer(
                tokenizer_json, n_vocab=vocab_size, eos_token=ends or None
            )
        except ValueError as error:
            raise VocabularyUnusableError(
                f"the model's tokens cannot be held to a form: {error}"
            ) from error
        self.writable = self._writable(ends)

    def _writable(self, ends: Sequence[int]) -> NDArray[np.int32]:
        """Return the mask of the tokens that write something, and of those that end an answer.

        A grammar may name control tokens by number, and the graph may have more than the tokenizer.
        """
        bits = np.zeros(-(-self.size // WORD_BITS) * WORD_BITS, np.uint8)
        for token in range(self.size):
            bits[token] = not self.tokens.is_special_token(token) and bool(
                self.tokens.decode_bytes([token])
            )
        bits[list(ends)] = 1
        return np.packbits(bits, bitorder="little").view(np.int32)
