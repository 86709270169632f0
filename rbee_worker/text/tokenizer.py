"""Text to tokens and back, with the model's own template.

What people write cannot forge the template's control tokens: where a message contains the text of
one, only the template's own text is searched for them, and in messages that text is only text.
"""

import re
import secrets
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import tokenizers as untyped_tokenizers

from rbee_worker.description import ModelDamagedError, ModelDescription
from rbee_worker.text.chat_template import ChatTemplate
from rbee_worker.text.control_tokens import ControlTokens
from rbee_worker.text.token_text import TextStream, TokenText

library: Any = untyped_tokenizers

TOKENIZER_FILE = "tokenizer.json"


class Tokenizer:
    """The tokenizer and template of one model. Used by one thread."""

    def __init__(self, folder: Path, description: ModelDescription) -> None:
        """Load the tokenizer.

        Raises:
            ModelDamagedError: its file is missing, malformed, or of no known kind.
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
        self._text = TokenText(self._tokenizer)
        self._control = ControlTokens(self._text.control)

    def encode_text(self, text: str) -> list[int]:
        """Return the tokens of a raw prompt, control tokens recognised."""
        return self._begun(self._encode(text, plain=False))

    def encode_conversation(self, messages: Sequence[Mapping[str, str]]) -> list[int]:
        """Return the tokens of a conversation.

        Raises:
            ChatTemplateError: there is no template, or it fails.
            InvalidArgumentError: the template refuses this conversation.
        """
        contents: dict[str, str] = {}
        marked = [self._marked(message, contents) for message in messages]
        rendered = self._render(marked)
        if not contents:
            return self.encode_text(rendered)
        return self._begun(self._encode_guarded(rendered, contents))

    def stream(self, prompt: Sequence[int] = ()) -> TextStream:
        """Return a new stream that turns the tokens of an answer into text.

        Args:
            prompt: the tokens that the answer follows.
        """
        is_start = not prompt or prompt[-1] in self._text.control
        return TextStream(self._text, is_start=is_start)

    def _begun(self, tokens: list[int]) -> list[int]:
        bos = self._description.bos_token_id
        if bos is None or not self._description.add_bos or tokens[:1] == [bos]:
            return tokens  # many chat templates write it themselves
        return [bos, *tokens]

    def _marked(self, message: Mapping[str, str], contents: dict[str, str]) -> Mapping[str, str]:
        """Put a mark in the place of a content with control tokens, and note which it is.

        What surrounds the content stays, for the template to trim.
        """
        content = message["content"].strip()
        if not self._control.are_in(content):
            return message
        mark = f"\ue000{secrets.token_hex(8)}\ue001"
        contents[mark] = content
        return {**message, "content": message["content"].replace(content, mark)}

    def _render(self, messages: Sequence[Mapping[str, str]]) -> str:
        return self._template.render(
            messages,
            bos_token=self._text_of(self._description.bos_token_id),
            eos_token=self._text_of(next(iter(self._description.eos_token_ids), None)),
        )

    def _text_of(self, token: int | None) -> str:
        return "" if token is None else self._tokenizer.id_to_token(token) or ""

    def _encode_guarded(self, rendered: str, contents: Mapping[str, str]) -> list[int]:
        """Encode what the template wrote, with control tokens in its own text only.

        Text between two control tokens is encoded at once, whoever wrote it: cut in pieces it would
        have other tokens, and in some vocabularies each piece a space of its own.
        """
        tokens: list[int] = []
        text = ""
        for part in re.split("(" + "|".join(contents) + ")", rendered):
            if part in contents:
                text += contents[part]
                continue
            at = 0
            for found in self._control.find(part):
                tokens += self._encode(text + part[at : found.start], plain=True)
                tokens.append(found.token)
                text, at = "", found.end
            text += part[at:]
        return tokens + self._encode(text, plain=True)

    def _encode(self, text: str, *, plain: bool) -> list[int]:
        self._tokenizer.encode_special_tokens = plain
        return list(self._tokenizer.encode(text, add_special_tokens=False).ids)
