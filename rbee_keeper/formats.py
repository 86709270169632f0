"""The options of `rbee run` that say what an answer must look like, and which tools there are."""

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, cast

import typer

from rbee.v1 import inference_pb2
from rbee_shared.limits import PROMPT_CHARS_MAX, TOOLS_MAX

FORM, TOOLS = "Form of the answer", "Tools"
CHOICES = {
    "auto": inference_pb2.TOOL_CHOICE_AUTO,
    "none": inference_pb2.TOOL_CHOICE_NONE,
    "required": inference_pb2.TOOL_CHOICE_REQUIRED,
}
_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")


@dataclass(frozen=True, slots=True)
class Tools:
    """The tools of a file."""

    tools: tuple[inference_pb2.Tool, ...]


def read_schema(text: str) -> str:
    """Return a JSON schema, given as it is or by the name of its file.

    Raises:
        typer.BadParameter: it is no JSON, or there is no such file.
    """
    is_json = text.lstrip().startswith("{")
    schema = text if is_json else read_text(text)
    found = _json(schema, "the schema" if is_json else f"'{text}'")
    if not isinstance(found, dict | bool):
        raise typer.BadParameter("a JSON schema is an object")
    return schema


def read_text(path: str) -> str:
    """Return the text of a file.

    Raises:
        typer.BadParameter: it cannot be read, is no text, or is too long.
    """
    try:
        with Path(path).expanduser().open("rb") as file:
            text = file.read(4 * PROMPT_CHARS_MAX + 1).decode()
    except UnicodeDecodeError as error:
        raise typer.BadParameter(f"'{path}' is not UTF-8 text") from error
    except (OSError, RuntimeError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else str(error)
        raise typer.BadParameter(f"cannot read '{path}': {why}") from error
    if len(text) > PROMPT_CHARS_MAX:
        raise typer.BadParameter(f"'{path}' has over {PROMPT_CHARS_MAX} characters")
    return text


def read_tools(path: str) -> Tools:
    """Return the tools of a JSON file: an array of them, each as OpenAI has it, or bare.

    Raises:
        typer.BadParameter: it cannot be read, or holds something else.
    """
    found = _json(read_text(path), f"'{path}'")
    if not isinstance(found, list):
        raise typer.BadParameter(f"'{path}' is no JSON array of tools")
    each = cast("list[Any]", found)
    if not 1 <= len(each) <= TOOLS_MAX:
        raise typer.BadParameter(f"'{path}' has {len(each)} tools, and not 1 to {TOOLS_MAX}")
    tools = tuple(_tool(tool, place) for place, tool in enumerate(each, 1))
    if len({tool.name for tool in tools}) < len(tools):
        raise typer.BadParameter(f"'{path}' has two tools of one name")
    return Tools(tools)


def response_format(
    *, schema: str | None, regex: str | None, choices: list[str] | None, grammar: str | None
) -> inference_pb2.ResponseFormat | None:
    """Return what the answer must look like; None if that is open.

    Raises:
        typer.BadParameter: it must look like several things.
    """
    texts = {"json_schema": schema, "regex": regex, "grammar": grammar}
    given: dict[str, Any] = {name: text for name, text in texts.items() if text is not None}
    if choices:
        given["choices"] = inference_pb2.Choices(options=choices)
    if len(given) > 1:
        raise typer.BadParameter("only one of --schema, --regex, --choice and --grammar can hold")
    return inference_pb2.ResponseFormat(**given) if given else None


def add_tools(
    conversation: inference_pb2.Conversation, tools: Tools | None, choice: str | None
) -> None:
    """Offer the tools to the model.

    Raises:
        typer.BadParameter: one of them is to be called, and there is none, or none of that name.
    """
    if tools is None:
        if choice is not None:
            raise typer.BadParameter("--tool-choice is for the tools of --tools")
        return
    conversation.tools.extend(tools.tools)
    if choice is None or choice in CHOICES:
        conversation.tool_choice = CHOICES[choice or "auto"]
    elif choice in {tool.name for tool in tools.tools}:
        conversation.tool_name = choice
    else:
        raise typer.BadParameter(
            f"'{choice}' is no tool of the file, and not one of {', '.join(CHOICES)}"
        )


def _json(text: str, what: str) -> Any:
    try:
        return json.loads(text)
    except RecursionError as error:
        raise typer.BadParameter(f"{what} nests too deeply") from error
    except ValueError as error:
        raise typer.BadParameter(f"{what} is no JSON: {error}") from error


def _tool(found: Any, place: int) -> inference_pb2.Tool:
    tool = _object(found)
    tool = _object(tool["function"]) if "function" in tool else tool  # OpenAI wraps it
    name, description = tool.get("name", ""), tool.get("description", "")
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise typer.BadParameter(
            f"tool {place} has no name of 1 to 64 letters, digits, '-' and '_'"
        )
    parameters = tool.get("parameters")
    if not isinstance(parameters, dict | None):
        raise typer.BadParameter(f"the parameters of tool '{name}' are no JSON schema")
    return inference_pb2.Tool(
        name=name,
        description=str(description),
        parameters="" if parameters is None else json.dumps(parameters, ensure_ascii=False),
    )


def _object(found: Any) -> dict[str, Any]:
    return cast("dict[str, Any]", found) if isinstance(found, dict) else {}


Schema = Annotated[
    str | None,
    typer.Option(
        parser=read_schema,
        metavar="FILE|JSON",
        help="Answer with JSON that fits this schema.",
        rich_help_panel=FORM,
    ),
]
Regex = Annotated[
    str | None,
    typer.Option(
        metavar="REGEX", help="Answer with what this matches as a whole.", rich_help_panel=FORM
    ),
]
Choice = Annotated[
    list[str] | None,
    typer.Option(
        metavar="TEXT",
        help="Answer with this text or another choice; may be given again.",
        rich_help_panel=FORM,
    ),
]
Grammar = Annotated[
    str | None,
    typer.Option(
        parser=read_text,
        metavar="FILE",
        help="Answer by this grammar, in Lark's syntax.",
        rich_help_panel=FORM,
    ),
]
ToolsFile = Annotated[
    Tools | None,
    typer.Option(
        "--tools",
        parser=read_tools,
        metavar="FILE",
        help="Offer the tools of a JSON array; a call is printed as a line of JSON.",
        rich_help_panel=TOOLS,
    ),
]
ToolChoice = Annotated[
    str | None,
    typer.Option(
        metavar="CHOICE",
        help="auto (if not given), none, required, or the name of one tool.",
        rich_help_panel=TOOLS,
    ),
]
