"""Conversations and tools from the wire, in the form that chat templates are written for.

That form is OpenAI's, but for a call's arguments, which are the object itself: templates write it
down as JSON, and would quote a text once more.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any, cast

from rbee.v1 import inference_pb2
from rbee_shared.errors import InvalidArgumentError
from rbee_worker.tools.tool import Tool

ROLES = {
    inference_pb2.ROLE_SYSTEM: "system",
    inference_pb2.ROLE_USER: "user",
    inference_pb2.ROLE_ASSISTANT: "assistant",
    inference_pb2.ROLE_TOOL: "tool",
}
NO_PARAMETERS = '{"type": "object", "properties": {}}'


def messages_of(messages: Sequence[inference_pb2.Message]) -> tuple[Mapping[str, Any], ...]:
    """Return the messages of a conversation.

    Raises:
        InvalidArgumentError: a call's arguments are not the JSON text of an object.
    """
    return tuple(_message_of(message) for message in messages)


def tools_of(tools: Sequence[inference_pb2.Tool]) -> tuple[Tool, ...]:
    """Return the tools that the model may call.

    Raises:
        InvalidArgumentError: a tool's parameters are not the JSON text of an object.
    """
    return tuple(
        Tool(
            tool.name,
            tool.description,
            _object_of(tool.parameters or NO_PARAMETERS, f"the parameters of tool `{tool.name}`"),
        )
        for tool in tools
    )


def _message_of(message: inference_pb2.Message) -> Mapping[str, Any]:
    found: dict[str, Any] = {"role": ROLES.get(message.role, ""), "content": message.content}
    if message.tool_calls:
        found["tool_calls"] = [_call_of(call) for call in message.tool_calls]
    if message.tool_call_id:
        found["tool_call_id"] = message.tool_call_id
    return found


def _call_of(call: inference_pb2.ToolCall) -> Mapping[str, Any]:
    arguments = _object_of(call.arguments or "{}", f"the arguments of call `{call.id}`")
    return {
        "id": call.id,
        "type": "function",
        "function": {"name": call.name, "arguments": arguments},
    }


def _object_of(text: str, what: str) -> Mapping[str, Any]:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise InvalidArgumentError(
            f"{what} are not the JSON text of an object",
            reason="TOOL_MALFORMED",
            hint='such as {"type": "object", "properties": {"city": {"type": "string"}}}',
        )
    return cast("Mapping[str, Any]", found)
