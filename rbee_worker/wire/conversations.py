"""Conversations and tools from the wire, in the form that chat templates are written for."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, cast

from rbee.v1 import inference_pb2
from rbee_worker.tools.offer import calls_for_template
from rbee_worker.tools.tool import (
    AUTO,
    NONE,
    REQUIRED,
    Tool,
    ToolCall,
    ToolChoice,
    ToolsInvalidError,
    named,
)

ROLES = {
    inference_pb2.ROLE_SYSTEM: "system",
    inference_pb2.ROLE_USER: "user",
    inference_pb2.ROLE_ASSISTANT: "assistant",
    inference_pb2.ROLE_TOOL: "tool",
}
CHOICES = {
    inference_pb2.TOOL_CHOICE_NONE: NONE,
    inference_pb2.TOOL_CHOICE_REQUIRED: REQUIRED,
}


def messages_of(messages: Sequence[inference_pb2.Message]) -> tuple[Mapping[str, Any], ...]:
    """Return the messages of a conversation."""
    return tuple(_message_of(message) for message in messages)


def tools_of(tools: Sequence[inference_pb2.Tool]) -> tuple[Tool, ...]:
    """Return the tools that the model may call.

    Raises:
        ToolsInvalidError: a tool's parameters are not the JSON text of an object.
    """
    return tuple(
        Tool(tool.name, tool.description, _parameters_of(tool, place))
        for place, tool in enumerate(tools, 1)
    )


def choice_of(conversation: inference_pb2.Conversation) -> ToolChoice:
    """Return whether a tool is called, and which."""
    if conversation.tool_name:
        return named(conversation.tool_name)
    return CHOICES.get(conversation.tool_choice, AUTO)


def _message_of(message: inference_pb2.Message) -> Mapping[str, Any]:
    found: dict[str, Any] = {"role": ROLES.get(message.role, ""), "content": message.content}
    if message.tool_calls:
        calls = [ToolCall(call.id, call.name, call.arguments) for call in message.tool_calls]
        found["tool_calls"] = calls_for_template(calls)
    if message.tool_call_id:
        found["tool_call_id"] = message.tool_call_id
    return found


def _parameters_of(tool: inference_pb2.Tool, place: int) -> Mapping[str, Any]:
    try:
        found = json.loads(tool.parameters or "{}")
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise ToolsInvalidError(
            f"the parameters of tool {place} are not the JSON text of an object"
        )
    return cast("Mapping[str, Any]", found)
