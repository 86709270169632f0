"""What a tool is, who chooses one, and what a call of it looks like."""

import enum
import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rbee_shared.errors import InvalidArgumentError
from rbee_shared.limits import TOOLS_MAX

NAME = re.compile(r"[A-Za-z0-9_-]{1,64}", re.ASCII)
NAME_SHOWN_CHARS_MAX = 80
DESCRIPTION_CHARS_MAX = 4_096
PARAMETERS_CHARS_MAX = 32_768
FAULTS_TOLD_MAX = 5


class ToolsInvalidError(InvalidArgumentError):
    """The tools that a request offers, or its choice among them, cannot be used."""

    reason = "TOOLS_INVALID"
    hint = "a name has 1 to 64 letters, digits, _ or -, and parameters are the schema of an object"


@dataclass(frozen=True, slots=True)
class Tool:
    """Something the model may ask for. `parameters` is the JSON schema of the arguments."""

    name: str
    description: str
    parameters: Mapping[str, Any]


class ToolMode(enum.Enum):
    """Who decides whether a tool is called."""

    AUTO = "auto"
    NONE = "none"
    REQUIRED = "required"


@dataclass(frozen=True, slots=True)
class ToolChoice:
    """Whether a tool is called, and which: with `name` it is that one."""

    mode: ToolMode = ToolMode.AUTO
    name: str = ""


AUTO = ToolChoice(ToolMode.AUTO)
NONE = ToolChoice(ToolMode.NONE)
REQUIRED = ToolChoice(ToolMode.REQUIRED)


def named(name: str) -> ToolChoice:
    """Return the choice of one tool, which must be called."""
    return ToolChoice(ToolMode.REQUIRED, name)


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A call that the model asks for. `arguments` is a JSON object as text."""

    id: str
    name: str
    arguments: str


def check(tools: Sequence[Tool], choice: ToolChoice) -> None:
    """Refuse what cannot be offered, all faults at once.

    Raises:
        ToolsInvalidError: there are faults.
    """
    if faults := [*_faults(tools), *_choice_faults(tools, choice)]:
        told = faults[:FAULTS_TOLD_MAX]
        more = len(faults) - len(told)
        raise ToolsInvalidError("; ".join([*told, *([f"and {more} more"] if more else [])]))


def _faults(tools: Sequence[Tool]) -> Iterator[str]:
    if len(tools) > TOOLS_MAX:
        yield f"there are {len(tools)} tools, over {TOOLS_MAX}"
    for name, count in Counter(tool.name for tool in tools).items():
        if count > 1:
            yield f"there are {count} tools `{_shown(name)}`"
    for tool in tools:
        yield from (f"tool `{_shown(tool.name)}` {fault}" for fault in _faults_of(tool))


def _faults_of(tool: Tool) -> Iterator[str]:
    if not NAME.fullmatch(tool.name):
        yield "has a name that is not 1 to 64 letters, digits, _ or -"
    if len(tool.description) > DESCRIPTION_CHARS_MAX:
        yield f"has a description of over {DESCRIPTION_CHARS_MAX} characters"
    if tool.parameters.get("type", "object") != "object":
        yield "has parameters that are no object"
    try:
        length = len(json.dumps(dict(tool.parameters), allow_nan=False))
    except (TypeError, ValueError, RecursionError):
        yield "has parameters that are no JSON"
    else:
        if length > PARAMETERS_CHARS_MAX:
            yield f"has parameters of over {PARAMETERS_CHARS_MAX} characters"


def _choice_faults(tools: Sequence[Tool], choice: ToolChoice) -> Iterator[str]:
    if choice.name and choice.name not in {tool.name for tool in tools}:
        yield f"tool `{_shown(choice.name)}` must be called but is not offered"
    elif choice.mode is ToolMode.REQUIRED and not tools:
        yield "a tool must be called but none is offered"


def _shown(name: str) -> str:
    return name if len(name) <= NAME_SHOWN_CHARS_MAX else name[:NAME_SHOWN_CHARS_MAX] + "..."
