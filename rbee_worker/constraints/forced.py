"""The tokens of a text that the form leaves no choice about: the model's own, if they write it."""

from collections.abc import Sequence
from typing import Any

CHARS_MAX = 400  # of a text at once: the library asks again for the rest at each token
MARK = "\x02"  # before the text: tokenizers may put a space before what they begin with


class ForcedText:
    """Tokenizes texts for one model, each to tokens that write just that."""

    def __init__(self, tokenizer: Any, written: Sequence[bytes]) -> None:
        """Take the tokenizer, which is ours from here on, and what each token writes."""
        tokenizer.encode_special_tokens = True  # the text of control tokens is text
        tokenizer.no_truncation()
        tokenizer.no_padding()
        self._tokenizer = tokenizer
        self._written = written
        self._tokens = {each: token for token, each in reversed([*enumerate(written)]) if each}
        self._length_max = max(map(len, self._tokens), default=0)

    def __call__(self, text: str | bytes) -> list[int]:
        """Return the tokens."""
        if not isinstance(text, str):
            raise TypeError("text is wanted")  # so the library keeps halves of characters back
        text = text[:CHARS_MAX]
        wanted = text.encode()
        tokens: list[int] = self._tokenizer.encode(MARK + text, add_special_tokens=False).ids
        for start in range(len(tokens)):
            if self._bytes(tokens[start:]) == wanted:
                return tokens[start:]
            if MARK.encode() in self._written[tokens[start]]:
                break
        return self._greedy(wanted)

    def _bytes(self, tokens: Sequence[int]) -> bytes:
        return b"".join(self._written[token] for token in tokens)

    def _greedy(self, wanted: bytes) -> list[int]:
        """Return the longest token at each place; tokenizers may change what they are given."""
        tokens: list[int] = []
        at = 0
        while at < len(wanted):
            ends = range(min(len(wanted), at + self._length_max), at, -1)
            end = next((each for each in ends if wanted[at:each] in self._tokens), None)
            if end is None:
                break  # the library takes a beginning as well
            tokens.append(self._tokens[wanted[at:end]])
            at = end
        return tokens
