"""A tool that a model may call, and a call of one."""

import enum
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


class ToolChoice(enum.IntEnum):
    """Whether the model may, must or must not call a tool; the numbers are the wire's."""

    AUTO = 1
    NONE = 2
    REQUIRED = 3


@dataclass(frozen=True, slots=True)
class Tool:
    """What it is called, what it is for, and the JSON schema of what it takes."""

    name: str
    description: str
    parameters: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A call: `arguments` is the JSON text of an object."""

    id: str
    name: str
    arguments: str
