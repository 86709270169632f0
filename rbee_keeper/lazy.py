"""The top-level group of commands: a noun's module is imported when one of its commands runs.

So `rbee --help` and a typo cost no gRPC and no Rich. Names, help and sections stand in one table.
"""

import importlib
from dataclasses import dataclass
from typing import Any

import typer
import typer.main
from typer.core import TyperCommand, TyperGroup


@dataclass(frozen=True, slots=True)
class Entry:
    """Where a command lives. `section` empty: it works, but help does not list it."""

    module: str
    help: str
    section: str
    attribute: str = "app"


class LazyGroup(TyperGroup):
    """A group whose commands are entries of a table, set by `lazy_group`."""

    entries: dict[str, Entry]

    def list_commands(self, ctx: Any) -> list[str]:
        """Return the names that help lists."""
        return [name for name, entry in self.entries.items() if entry.section]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Import a command; None if there is none of that name."""
        entry = self.entries.get(cmd_name)
        if entry is None:
            return None
        module = importlib.import_module(entry.module)
        command = typer.main.get_command(getattr(module, entry.attribute))
        command.name = cmd_name
        return command

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write the table, section by section."""
        sections: dict[str, list[tuple[str, str]]] = {}
        for name, entry in self.entries.items():
            if entry.section:
                sections.setdefault(entry.section, []).append((name, entry.help))
        for section, rows in sections.items():
            with formatter.section(section):
                formatter.write_dl(rows)


class SectionedCommand(TyperCommand):
    """A command whose options are listed by the panels that they name."""

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write the arguments, then the options that name no panel, then one panel after another.

        The order is that in which the command has them.
        """
        sections: dict[str, list[tuple[str, str]]] = {"Arguments": [], "Options": []}
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            if record is None:
                continue
            is_argument = parameter.param_type_name == "argument"
            panel = getattr(parameter, "rich_help_panel", None) or "Options"
            sections.setdefault("Arguments" if is_argument else panel, []).append(record)
        for section, rows in sections.items():
            if rows:
                with formatter.section(section):
                    formatter.write_dl(rows)


def lazy_group(table: dict[str, Entry]) -> type[LazyGroup]:
    """Return a group class with these commands."""
    return type("Commands", (LazyGroup,), {"entries": table})


def noun(help_text: str) -> typer.Typer:
    """Return a group of commands of its own, for one of the table's modules."""
    return typer.Typer(
        help=help_text, no_args_is_help=True, add_completion=False, rich_markup_mode=None
    )


def verb() -> typer.Typer:
    """Return an app that is one command."""
    return typer.Typer(add_completion=False, rich_markup_mode=None)
