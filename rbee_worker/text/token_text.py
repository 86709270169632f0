"""What each token writes, as bytes, and a stream of them as text that never splits a character.

The library's own stream gives up on a model that writes half a character and then something else,
which byte tokens allow; so here each token is turned into its bytes, and those are decoded.
"""

import codecs
import json
import re
from typing import Any

from rbee_worker.description import ModelDamagedError

SPACE = "\u2581"  # how SentencePiece writes a space
NEVER = "never"
BYTE_TOKEN = re.compile(r"<0x([0-9A-F]{2})>")


class TokenText:
    """The text of the tokens of one model; control tokens write nothing."""

    def __init__(self, tokenizer: Any) -> None:
        """Find out how the tokenizer writes its tokens.

        Raises:
            ModelDamagedError: it does so in a way that no known model has.
        """
        self._tokenizer = tokenizer
        added: dict[int, Any] = tokenizer.get_added_tokens_decoder()
        self.control = {number: each.content for number, each in added.items() if each.special}
        self._whole = {number: each.content for number, each in added.items() if not each.special}
        steps = _steps(tokenizer)
        self._is_byte_level = "ByteLevel" in steps
        self._has_byte_tokens = "ByteFallback" in steps
        self.has_space_prefix = (
            "Strip" in steps or steps.get("Metaspace", {}).get("prepend_scheme", NEVER) != NEVER
        )
        if not steps.keys() & {"ByteLevel", "ByteFallback", "Metaspace"}:
            raise ModelDamagedError("the model's tokens cannot be written: its decoder is unknown")

    def written(self, token: int) -> bytes:
        """Return what a token writes: nothing, a part of a character, or text."""
        if token in self.control:
            return b""
        if token in self._whole:
            return str(self._whole[token]).encode()
        text: str = self._tokenizer.id_to_token(token) or ""
        if self._is_byte_level:
            found = [BYTES.get(letter) for letter in text]
            known = bytes(each for each in found if each is not None)
            return known if len(known) == len(text) else text.encode()
        if self._has_byte_tokens and (byte := BYTE_TOKEN.fullmatch(text)):
            return bytes.fromhex(byte[1])
        return text.replace(SPACE, " ").encode()


class TextStream:
    """Tokens of one answer, one by one, to text."""

    def __init__(self, text: TokenText, *, is_start: bool) -> None:
        """Begin an answer.

        Args:
            text: what the tokens write.
            is_start: it stands where a text begins: there some tokenizers put a space before the
                first word, which is no part of the text.
        """
        self._text = text
        self._drops_space = is_start and text.has_space_prefix
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def push(self, token: int) -> str:
        """Return the text that is complete with this token; empty within a character."""
        written = self._text.written(token)
        if written and self._drops_space:
            self._drops_space = False
            written = written.removeprefix(b" ")
        return self._decoder.decode(written)

    def flush(self) -> str:
        """Return what is left of a character that never became whole."""
        return self._decoder.decode(b"", final=True)


def _steps(tokenizer: Any) -> dict[str, dict[str, Any]]:
    """Return what the decoder does, by the names that the library has for it."""
    if tokenizer.decoder is None:
        return {}
    decoder: dict[str, Any] = json.loads(tokenizer.decoder.__getstate__())
    steps: list[dict[str, Any]] = decoder.get("decoders", [decoder])
    return {str(each.get("type")): each for each in steps}


def _bytes_by_letter() -> dict[str, int]:
    """Return which byte each letter of a byte-level token stands for.

    Source: `bytes_to_unicode` of GPT-2, https://github.com/openai/gpt-2/blob/master/src/encoder.py
    """
    plain = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), 256)]
    others = [byte for byte in range(256) if byte not in plain]
    letters = {chr(byte): byte for byte in plain}
    return letters | {chr(256 + place): byte for place, byte in enumerate(others)}


BYTES = _bytes_by_letter()
