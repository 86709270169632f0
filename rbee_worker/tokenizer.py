"""Text to tokens and back, as a stream that never splits a character.

What people write cannot forge the template's control tokens: where a message contains the text of
one, the messages are encoded apart from the template, and in them that text is only text.
"""

import secrets
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import tokenizers as untyped_tokenizers
from tokenizers import decoders as untyped_decoders

from rbee_worker.chat_template import ChatTemplate
from rbee_worker.description import ModelDamagedError, ModelDescription

library: Any = untyped_tokenizers
decoders: Any = untyped_decoders

TOKENIZER_FILE = "tokenizer.json"
INCOMPLETE = "\ufffd"


class Tokenizer:
    """The tokenizer and template of one model. Used by one thread."""

    def __init__(self, folder: Path, description: ModelDescription) -> None:
        """Load the tokenizer.

        Raises:
            ModelDamagedError: its file is missing or malformed.
            ChatTemplateError: the template is malformed.
        """
        self._description = description
        try:
            self._tokenizer: Any = library.Tokenizer.from_file(str(folder / TOKENIZER_FILE))
        except Exception as error:  # the library raises bare Exception
            raise ModelDamagedError(f"`{TOKENIZER_FILE}` of the model cannot be read") from error
        self._tokenizer.no_truncation()  # files of the hub may ask for either
        self._tokenizer.no_padding()
        self._template = ChatTemplate(description.chat_template)
        added: dict[int, Any] = self._tokenizer.get_added_tokens_decoder()
        self._special = [each.content for each in added.values() if each.special]

    def encode_text(self, text: str) -> list[int]:
        """Return the tokens of a raw prompt, control tokens recognised."""
        return self._begun(self._encode(text, plain=False))

    def encode_conversation(self, messages: Sequence[Mapping[str, str]]) -> list[int]:
        """Return the tokens of a conversation.

        Raises:
            ChatTemplateError: there is no template, or it fails.
            InvalidArgumentError: the template refuses this conversation.
        """
        if not any(token in each["content"] for each in messages for token in self._special):
            return self.encode_text(self._render(messages))
        marks = [f"\ue000{secrets.token_hex(8)}\ue001" for _ in messages]
        marked = [{**each, "content": mark} for each, mark in zip(messages, marks, strict=True)]
        tokens: list[int] = []
        rest = self._render(marked)
        for mark, message in zip(marks, messages, strict=True):
            before, _, rest = rest.partition(mark)
            tokens += self._encode(before, plain=False)
            tokens += self._encode(message["content"], plain=True)
        return self._begun(tokens + self._encode(rest, plain=False))

    def stream(self) -> "TextStream":
        """Return a new stream that turns tokens into text."""
        return TextStream(self._tokenizer)

    def _begun(self, tokens: list[int]) -> list[int]:
        bos = self._description.bos_token_id
        if bos is None or not self._description.add_bos or tokens[:1] == [bos]:
            return tokens  # many chat templates write it themselves
        return [bos, *tokens]

    def _render(self, messages: Sequence[Mapping[str, str]]) -> str:
        return self._template.render(
            messages,
            bos_token=self._text_of(self._description.bos_token_id),
            eos_token=self._text_of(next(iter(self._description.eos_token_ids), None)),
        )

    def _text_of(self, token: int | None) -> str:
        return "" if token is None else self._tokenizer.id_to_token(token) or ""

    def _encode(self, text: str, *, plain: bool) -> list[int]:
        self._tokenizer.encode_special_tokens = plain
        return list(self._tokenizer.encode(text, add_special_tokens=False).ids)


class TextStream:
    """Tokens of one answer, one by one, to text."""

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        self._stream: Any = decoders.DecodeStream(skip_special_tokens=True)
        self._pending: list[int] = []

    def push(self, token: int) -> str:
        """Return the text that is complete with this token; empty within a character."""
        text: str | None = self._stream.step(self._tokenizer, token)
        if text is None:
            self._pending.append(token)
            return ""
        self._pending.clear()
        return text

    def flush(self) -> str:
        """Return what is left of a character that never became whole."""
        if not self._pending:
            return ""
        text: str = self._tokenizer.decode(self._pending, skip_special_tokens=True)
        self._pending.clear()
        return INCOMPLETE if text else ""
