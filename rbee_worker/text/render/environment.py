"""What a chat template may use: jinja2's sandbox, and what transformers gives its templates.

Templates are written for transformers; what they find there, they find here.
"""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, NoReturn

import jinja2
from jinja2 import nodes
from jinja2.ext import Extension, LoopControlExtension
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment

from rbee_worker.text.render.frames import RENDERED_CHARS_MAX


class RefusedError(Exception):
    """The template refuses the conversation, in its own words."""


class RenderedTooLongError(Exception):
    """The template writes more than any context holds."""

    def __init__(self) -> None:
        super().__init__(f"it writes over {RENDERED_CHARS_MAX} characters")


def compiled(source: str) -> jinja2.Template:
    """Return the template. What it is made of may run here: constants are computed at once.

    Raises:
        Exception: of whatever type, whatever is wrong with it.
    """
    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True,
        lstrip_blocks=True,
        extensions=[LoopControlExtension, _Generation],
    )
    functions: Any = {"raise_exception": _refuse, "strftime_now": _now}
    environment.globals.update(functions)
    environment.filters["tojson"] = _json  # jinja2's own escapes what HTML would take for a tag
    return environment.from_string(source)


def rendered(template: jinja2.Template, values: Mapping[str, Any]) -> str:
    """Return what the template writes.

    Raises:
        RefusedError: it refuses.
        RenderedTooLongError: it writes too much.
        Exception: of whatever type, whatever it runs into.
    """
    pieces: list[str] = []
    length = 0
    for piece in template.generate(values):
        pieces.append(piece)
        length += len(piece)
        if length > RENDERED_CHARS_MAX:
            raise RenderedTooLongError
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
    raise RefusedError(message)


def _now(form: str) -> str:
    return datetime.now(tz=UTC).strftime(form)
