"""Conversations in the form that templates are written for, from the forms that clients send. Pure.

Templates expect the content of a message to be text and the arguments of a tool call to be values.
Clients of OpenAI's API also send content in parts, no content beside tool calls, and arguments as
the JSON that the model once wrote.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any, cast

from rbee_shared.errors import InvalidArgumentError

PART_SEPARATOR = "\n"


def plain(message: Mapping[str, Any]) -> dict[str, Any]:
    """Return a message as templates expect it.

    Raises:
        InvalidArgumentError: its content is no text.
    """
    found = {**message, "content": _text(message.get("content"))}
    calls = message.get("tool_calls")
    if calls:
        found["tool_calls"] = [_call(each) for each in calls]
    else:
        found.pop("tool_calls", None)  # templates ask whether it is there
    return found


def _text(content: Any) -> str:
    match content:
        case None:
            return ""
        case str():
            return content
        case list() | tuple():
            parts = cast("Sequence[Any]", content)
            return PART_SEPARATOR.join(map(_part, parts))
        case _:
            raise _unknown()


def _part(part: Any) -> str:
    match part:
        case {"type": "text", "text": str(text)}:
            return text
        case _:
            raise _unknown()


def _unknown() -> InvalidArgumentError:
    return InvalidArgumentError(
        "a part of a message is no text, and the model reads text only",
        reason="CONTENT_UNSUPPORTED",
        hint="send `content` as a text, or as parts of the type `text`",
    )


def _call(call: Any) -> Any:
    match call:
        case {"function": {"arguments": str(arguments)} as function}:
            return {**call, "function": {**function, "arguments": _arguments(arguments)}}
        case _:
            return call


def _arguments(written: str) -> Any:
    """Return the arguments as values. What a model wrote may be no JSON: then it stays a text."""
    if not written.strip():
        return {}
    try:
        found = json.loads(written)
    except (ValueError, RecursionError):
        return written
    return cast("dict[str, Any]", found) if isinstance(found, dict) else written
