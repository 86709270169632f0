"""Text to tokens and back, with the model's own template.

What people write cannot forge the template's control tokens: where a message contains the text of
one, only the template's own text is searched for them, and in messages that text is only text.
"""

import threading
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import tokenizers as untyped_tokenizers

from rbee_shared.errors import InvalidArgumentError
from rbee_worker.description import ModelDamagedError, ModelDescription
from rbee_worker.text.chat_template import ChatTemplate
from rbee_worker.text.control_tokens import ControlTokens
from rbee_worker.text.conversation import plain
from rbee_worker.text.guard import Guard, Part
from rbee_worker.text.least import Least, least_of
from rbee_worker.text.token_text import TextStream, TokenText

library: Any = untyped_tokenizers

TOKENIZER_FILE = "tokenizer.json"
SHORT_CHARS = 65_536  # to encode so much takes no longer than to look through a vocabulary


class TextTooLongError(InvalidArgumentError):
    """A text is so long that it cannot fit, whatever its tokens are."""

    reason = "PROMPT_TOO_LONG"
    hint = "shorten the prompt, or spawn a worker with a longer `--context` if the model has one"

    def __init__(self, tokens: int, tokens_max: int) -> None:
        super().__init__(f"the prompt has {tokens} tokens at least, the context holds {tokens_max}")


class Tokenizer:
    """The tokenizer and template of one model. May be used by many threads; encoding blocks."""

    def __init__(self, folder: Path, description: ModelDescription) -> None:
        """Load the tokenizer, and the template meanwhile.

        Raises:
            ModelDamagedError: its file is missing, malformed, or of no known kind.
            ChatTemplateError: the template is malformed.
            RendererLostError: there is no process for the template.
        """
        self._description = description
        self._template = ChatTemplate(description.chat_template)
        try:
            self._tokenizer: Any = library.Tokenizer.from_file(str(folder / TOKENIZER_FILE))
        except Exception as error:  # the library raises bare Exception
            raise ModelDamagedError(f"`{TOKENIZER_FILE}` of the model cannot be read") from error
        self._tokenizer.no_truncation()  # files of the hub may ask for either
        self._tokenizer.no_padding()
        self._lock = threading.Lock()  # whether control tokens are found is the library's state
        self._text = TokenText(self._tokenizer)
        self._control = ControlTokens(self._text.control)
        self._template.check()

    @property
    def vocab_size(self) -> int:
        """Tokens that the tokenizer knows; the graph may have more, which mean nothing."""
        return int(self._tokenizer.get_vocab_size(with_added_tokens=True))

    @property
    def knows_tools(self) -> bool:
        """Whether the template tells the model of tools."""
        return self._template.knows_tools

    @property
    def tokenizer_json(self) -> str:
        """The whole tokenizer, in the form of `tokenizer.json`. Made anew each time."""
        return str(self._tokenizer.to_str())

    def token_bytes(self, token: int) -> bytes:
        """Return what a token writes: a part of a text, maybe of a character; control: nothing."""
        return self._text.written(token)

    def close(self) -> None:
        """End the template's process. Idempotent; without it the process ends with this object."""
        self._template.close()

    def encode_text(self, text: str, *, tokens_max: int | None = None) -> list[int]:
        """Return the tokens of a raw prompt, control tokens recognised.

        Args:
            text: the prompt.
            tokens_max: a text that must have more is refused before it is encoded; one that has
                more all the same is not.

        Raises:
            TextTooLongError: it must have more tokens.
        """
        self._check_length(text, tokens_max)
        return self._begun(self._encode(text, as_plain=False))

    def encode_conversation(
        self,
        messages: Sequence[Mapping[str, Any]],
        *,
        tools: Sequence[Mapping[str, Any]] = (),
        tokens_max: int | None = None,
    ) -> list[int]:
        """Return the tokens of a conversation.

        Args:
            messages: as OpenAI's API describes them: `role`, `content` (a text, parts of the type
                `text`, or None), `tool_calls`, `tool_call_id`.
            tools: as there; only templates that know of tools tell the model.
            tokens_max: as for `encode_text`.

        Raises:
            ChatTemplateError: there is no template, or it fails.
            InvalidArgumentError: the template refuses this conversation, which may be too long.
            RendererLostError: there is no process for the template.
        """
        guard = Guard(self._control)
        rendered = self._template.render(
            [guard.hide(plain(message)) for message in messages],
            tools=[guard.hide(tool) for tool in tools],
            bos_token=self._text_of(self._description.bos_token_id),
            eos_token=self._text_of(next(iter(self._description.eos_token_ids), None)),
        )
        if not guard.has_hidden:
            return self.encode_text(rendered, tokens_max=tokens_max)
        parts = list(guard.parts(rendered))
        self._check_length("".join(part.text for part in parts), tokens_max)
        return self._begun(self._encode_guarded(parts))

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

    def _text_of(self, token: int | None) -> str:
        return "" if token is None else self._tokenizer.id_to_token(token) or ""

    @cached_property
    def _least(self) -> Least:
        return least_of(self._tokenizer)

    def _check_length(self, text: str, tokens_max: int | None) -> None:
        if tokens_max is None or len(text) <= max(tokens_max, SHORT_CHARS):
            return
        tokens = self._least.tokens(text)
        if tokens > tokens_max:
            raise TextTooLongError(tokens, tokens_max)

    def _encode_guarded(self, parts: Iterable[Part]) -> list[int]:
        """Encode what the template wrote, with control tokens in its own text only.

        Text between two control tokens is encoded at once, whoever wrote it: cut in pieces it would
        have other tokens, and in some vocabularies each piece a space of its own.
        """
        tokens: list[int] = []
        text = ""
        for part in parts:
            at = 0
            for found in () if part.is_hidden else self._control.find(part.text):
                tokens += self._encode(text + part.text[at : found.start], as_plain=True)
                tokens.append(found.token)
                text, at = "", found.end
            text += part.text[at:]
        return tokens + self._encode(text, as_plain=True)

    def _encode(self, text: str, *, as_plain: bool) -> list[int]:
        with self._lock:
            if self._tokenizer.encode_special_tokens != as_plain:
                self._tokenizer.encode_special_tokens = as_plain
            # the quick one leaves out where in the text each token is, which takes as long again
            [encoding] = self._tokenizer.encode_batch_fast([text], add_special_tokens=False)
        ids: list[int] = encoding.ids
        return ids
