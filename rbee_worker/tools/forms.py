"""Reading what may be calls, in the JSON that models write them in. Pure."""

import json
from collections.abc import Callable, Collection
from typing import Any, NoReturn, cast

from rbee_worker.tools.tool import ToolCall

ARGUMENTS = ("arguments", "parameters")  # Hermes, Qwen and Mistral; Llama 3
CUT_OFF = "Unterminated string"  # how the library says that a string goes on
MISTRAL = "[TOOL_CALLS]"


class UnfinishedError(Exception):
    """The text ends within a string, which may hold anything."""


def call_in(text: str, names: Collection[str], new_id: Callable[[], str]) -> ToolCall | None:
    """Return the call that a text is, of one of the tools with these names; None if it is none.

    Raises:
        UnfinishedError: it ends within a string.
    """
    return _call(_read(text), names, new_id)


def calls_in(text: str, names: Collection[str], new_id: Callable[[], str]) -> tuple[ToolCall, ...]:
    """Return the calls that a whole answer is: one object or an array of them; else none."""
    try:
        read = _read(text.strip().removeprefix(MISTRAL))
    except UnfinishedError:
        return ()
    each = cast("list[Any]", read) if isinstance(read, list) else [read]
    calls = [call for one in each if (call := _call(one, names, new_id)) is not None]
    return tuple(calls) if len(calls) == len(each) else ()


def could_begin_calls(text: str, names: Collection[str]) -> bool | None:
    """Return whether a whole answer that begins so is calls; None if that is not to be seen yet."""
    squeezed = "".join(text.split()).removeprefix(MISTRAL)
    if MISTRAL.startswith(squeezed):
        return None
    begins = [f'{bracket}{{"name":"{name}"' for name in names for bracket in ("", "[")]
    if any(squeezed.startswith(each) for each in begins):
        return True
    return None if any(each.startswith(squeezed) for each in begins) else False


def _call(read: Any, names: Collection[str], new_id: Callable[[], str]) -> ToolCall | None:
    if not isinstance(read, dict):
        return None
    found = cast("dict[str, Any]", read)
    given: list[Any] = [found[key] for key in ARGUMENTS if key in found]
    arguments: Any = given[0] if given else {}
    if isinstance(arguments, str):  # some models quote it as clients get it
        arguments = _read_quoted(arguments)
    name = found.get("name")
    if not isinstance(name, str) or name not in names or not isinstance(arguments, dict):
        return None
    return ToolCall(new_id(), name, json.dumps(arguments))


def _read_quoted(text: str) -> Any:
    try:
        return _read(text)
    except UnfinishedError:
        return None


def _read(text: str) -> Any:
    """Return the JSON that a text is, or None."""
    try:
        return json.loads(text, strict=False, parse_constant=_refuse)
    except json.JSONDecodeError as error:
        if error.msg.startswith(CUT_OFF):
            raise UnfinishedError from error
        return None
    except (ValueError, RecursionError):
        return None


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")
