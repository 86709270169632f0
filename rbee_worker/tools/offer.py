"""Tools and calls as chat templates expect them, and as the form of an answer. Pure."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from rbee_worker.constraints.constraint import SPACES, Constraint, ConstraintKind
from rbee_worker.tools.tool import Tool, ToolCall, ToolChoice, ToolMode

ANY_OBJECT: Mapping[str, Any] = {"type": "object"}
JSON_OPTIONS = {"x-guidance": {"whitespace_pattern": SPACES}}  # in place of the schema's own


def for_template(tools: Sequence[Tool]) -> list[dict[str, Any]]:
    """Return the tools in OpenAI's form, which chat templates know as `tools`."""
    return [
        {
            "type": "function",
            "function": {
                "name": tool.name,
                "description": tool.description,
                "parameters": dict(tool.parameters) or dict(ANY_OBJECT),
            },
        }
        for tool in tools
    ]


def calls_for_template(calls: Sequence[ToolCall]) -> list[dict[str, Any]]:
    """Return calls that a model made, as the `tool_calls` of its message.

    Arguments are an object, which templates write as JSON themselves.
    """
    return [
        {
            "id": call.id,
            "type": "function",
            "function": {"name": call.name, "arguments": _arguments(call.arguments)},
        }
        for call in calls
    ]


def constraint_for(tools: Sequence[Tool], choice: ToolChoice) -> Constraint | None:
    """Return the form of an answer that must be one call; None if it may be anything.

    The tools and the choice have been checked. The form is that of Hermes, Qwen and SmolLM2.
    """
    if choice.mode is not ToolMode.REQUIRED:
        return None
    callable_ = [tool for tool in tools if choice.name in ("", tool.name)]
    calls = " | ".join(f"call_{number}" for number in range(len(callable_)))
    lines = [f'start: "<tool_call>\\n" ({calls}) "\\n</tool_call>"']
    lines += [_rule(number, tool) for number, tool in enumerate(callable_)]
    return Constraint(ConstraintKind.GRAMMAR, "\n".join(lines))


def _rule(number: int, tool: Tool) -> str:
    begins = json.dumps(f'{{"name": "{tool.name}", "arguments": ')
    written = json.dumps({**ANY_OBJECT, **tool.parameters, **JSON_OPTIONS})
    return f'call_{number}: {begins} %json {written} "}}"'


def _arguments(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text  # a client's own history; the template writes it as it is
