"""A conversation as the text that the model was trained on, by the model's own template.

A template is a stranger's program: it runs in a process of its own (`renderer.py`).
"""

from collections.abc import Mapping, Sequence
from typing import Any

from rbee_shared.errors import FailedPreconditionError, InvalidArgumentError
from rbee_worker.text.render.frames import REFUSED, TEXT
from rbee_worker.text.renderer import Renderer

TEMPLATE_CHARS_MAX = 100_000


TOOLS = "tools"  # how templates call what they are given of them


class ChatTemplateError(FailedPreconditionError):
    """The model's template is missing or cannot be used."""

    reason = "CHAT_TEMPLATE_UNUSABLE"
    hint = "`--raw` gives the model the prompt as it is"


class ChatTemplate:
    """A model's template. May be used by many threads.

    `knows_tools` says whether it can tell the model of tools at all.
    """

    def __init__(self, source: str | None) -> None:
        """Take the template and begin to compile it; `check` waits for that.

        Raises:
            ChatTemplateError: it is too long.
            RendererLostError: there is no process for it.
        """
        if source is not None and len(source) > TEMPLATE_CHARS_MAX:
            raise ChatTemplateError(f"the chat template has over {TEMPLATE_CHARS_MAX} characters")
        self.knows_tools = source is not None and TOOLS in source
        self._renderer = None if source is None else Renderer(source)

    def check(self) -> None:
        """Wait until it is compiled.

        Raises:
            ChatTemplateError: it is malformed.
            RendererLostError: there is no process for it.
        """
        if self._renderer is None:
            return
        answer = self._renderer.compile()
        if answer.kind != TEXT:
            raise ChatTemplateError(f"the chat template is malformed: {answer.words}")

    def render(
        self,
        messages: Sequence[Mapping[str, Any]],
        *,
        tools: Sequence[Mapping[str, Any]] = (),
        bos_token: str,
        eos_token: str,
    ) -> str:
        """Return the prompt of a conversation, ending where the model is to speak. Blocks.

        Args:
            messages: each with `role` and `content`, and what else the template knows.
            tools: what the model may call, as OpenAI's API describes it.
            bos_token: the text of the model's first token.
            eos_token: the text of its last.

        Raises:
            ChatTemplateError: there is no template, or it fails, or it takes too much.
            InvalidArgumentError: it refuses this conversation, which may be too long.
            RendererLostError: there is no process for it.
        """
        if self._renderer is None:
            raise ChatTemplateError("the model has no chat template")
        answer = self._renderer.render(
            {
                "messages": list(messages),
                "tools": list(tools) or None,  # as transformers says it
                "add_generation_prompt": True,
                "bos_token": bos_token,
                "eos_token": eos_token,
            }
        )
        if answer.kind == REFUSED:
            raise InvalidArgumentError(
                f"the model's template refuses: {answer.words}", reason="CHAT_REFUSED"
            )
        if answer.kind != TEXT:
            raise ChatTemplateError(f"the chat template fails: {answer.words}")
        return answer.words

    def close(self) -> None:
        """End its process. Idempotent; without it the process ends with this object."""
        if self._renderer is not None:
            self._renderer.close()
