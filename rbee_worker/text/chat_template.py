"""A conversation as the text that the model was trained on, by the model's own template.

A template is a program by a stranger: it runs in jinja2's immutable sandbox, within limits. What
templates may use besides jinja2's own is what transformers gives them, who they are written for.
"""

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, NoReturn

import jinja2
from jinja2 import nodes
from jinja2.ext import Extension, LoopControlExtension
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment

from rbee_shared.errors import FailedPreconditionError, InvalidArgumentError

TEMPLATE_CHARS_MAX = 100_000
RENDERED_CHARS_MAX = 4_000_000
FAULTS = (  # what a template can run into
    jinja2.TemplateError,
    ArithmeticError,
    AttributeError,
    LookupError,
    MemoryError,
    RecursionError,
    TypeError,
    ValueError,
)


class ChatTemplateError(FailedPreconditionError):
    """The model's template is missing or cannot be used."""

    reason = "CHAT_TEMPLATE_UNUSABLE"
    hint = "`--raw` gives the model the prompt as it is"


class ChatTemplate:
    """A model's template, compiled once."""

    def __init__(self, source: str | None) -> None:
        """Compile the template.

        Raises:
            ChatTemplateError: it is too long or malformed.
        """
        self._template: jinja2.Template | None = None
        if source is None:
            return
        if len(source) > TEMPLATE_CHARS_MAX:
            raise ChatTemplateError(f"the chat template has over {TEMPLATE_CHARS_MAX} characters")
        environment = _environment()
        try:
            self._template = environment.from_string(source)
        except (jinja2.TemplateError, RecursionError) as error:
            raise ChatTemplateError(f"the chat template is malformed: {error}") from error

    def render(
        self, messages: Sequence[Mapping[str, str]], *, bos_token: str, eos_token: str
    ) -> str:
        """Return the prompt of a conversation, ending where the model is to speak.

        Args:
            messages: each with `role` and `content`.
            bos_token: the text of the model's first token.
            eos_token: the text of its last.

        Raises:
            ChatTemplateError: there is no template, or it fails.
            InvalidArgumentError: it refuses this conversation.
        """
        if self._template is None:
            raise ChatTemplateError("the model has no chat template")
        values = {
            "messages": [dict(message) for message in messages],
            "add_generation_prompt": True,
            "bos_token": bos_token,
            "eos_token": eos_token,
        }
        pieces: list[str] = []
        length = 0
        try:
            for piece in self._template.generate(values):
                pieces.append(piece)
                length += len(piece)
                if length > RENDERED_CHARS_MAX:
                    raise ChatTemplateError(
                        f"the conversation has over {RENDERED_CHARS_MAX} characters"
                    )
        except FAULTS as error:
            raise ChatTemplateError(f"the chat template fails: {error}") from error
        return "".join(pieces)


class _Generation(Extension):
    """`{% generation %}` marks what the model said, for training; here it only holds its body."""

    def __init__(self, environment: jinja2.Environment) -> None:
        super().__init__(environment)
        self.tags = {"generation"}

    def parse(self, parser: Parser) -> nodes.Node:
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        return nodes.Scope(body, lineno=line)


def _environment() -> jinja2.Environment:
    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True,
        lstrip_blocks=True,
        extensions=[LoopControlExtension, _Generation],
    )
    functions: Any = {"raise_exception": _refuse, "strftime_now": _now}
    environment.globals.update(functions)
    environment.filters["tojson"] = _json  # jinja2's own escapes what HTML would take for a tag
    return environment


def _json(
    value: Any,
    *,
    ensure_ascii: bool = False,
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    return json.dumps(
        value,
        ensure_ascii=ensure_ascii,
        indent=indent,
        separators=separators,
        sort_keys=sort_keys,
    )


def _refuse(message: str) -> NoReturn:
    raise InvalidArgumentError(f"the model's template refuses: {message}", reason="CHAT_REFUSED")


def _now(form: str) -> str:
    return datetime.now(tz=UTC).strftime(form)
