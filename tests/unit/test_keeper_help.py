import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
import typer.main
from typer.core import TyperGroup
from typer.testing import CliRunner

from rbee_keeper.__main__ import COMMANDS, app

WIDTH = 100


def leaves(command: Any, words: tuple[str, ...] = ()) -> Iterator[tuple[str, Any]]:
    """Yield every command that does something, with what a person types."""
    if not isinstance(command, TyperGroup):
        yield " ".join(words), command
        return
    context = command.context_class(command, info_name="rbee")
    names = COMMANDS if not words else command.commands
    for name in names:
        yield from leaves(command.get_command(context, name), (*words, name))


LEAVES = dict(leaves(typer.main.get_command(app)))
every_command = pytest.mark.parametrize("words", LEAVES)


def help_of(*words: str) -> str:
    result = CliRunner().invoke(app, [*words, "--help"], terminal_width=WIDTH, prog_name="rbee")
    assert result.exit_code == 0
    return result.stdout


def test_help_lists_every_command_with_its_help_in_sections() -> None:
    text = help_of()
    for name, entry in COMMANDS.items():
        listed = f"  {name} " in text
        assert listed == bool(entry.section)
        assert not listed or entry.help in text
    assert [line for line in text.splitlines() if line.endswith(":")] == [
        "Options:",
        "Ask:",
        "Look:",
        "Manage:",
    ]


def test_a_shortcut_is_not_listed_twice() -> None:
    command: Any = typer.main.get_command(app)
    context = command.context_class(command, info_name="rbee")
    listed = [name for name, entry in COMMANDS.items() if entry.section]
    assert command.list_commands(context) == listed


def test_help_imports_no_command_and_nothing_heavy() -> None:
    code = (
        "import sys; from rbee_keeper.__main__ import run\n"
        "assert run(['--help']) == 0 and run(['rn']) == 2\n"
        "heavy = ('grpc', 'google.protobuf', 'rich', 'rbee_keeper.commands', 'asyncio')\n"
        "sys.exit(' '.join(name for name in heavy if name in sys.modules) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@every_command
def test_a_command_says_what_it_does_and_gives_an_example(words: str) -> None:
    text = help_of(*words.split())
    assert text.startswith(f"Usage: rbee {words}")
    assert "Example: rbee " in text


@every_command
def test_every_option_has_help_and_none_installs_completion(words: str) -> None:
    for parameter in LEAVES[words].params:
        assert parameter.help, parameter.name
        assert "completion" not in parameter.name
        assert "<" not in (parameter.metavar or "")


@every_command
def test_every_command_speaks_json(words: str) -> None:
    assert any("--json" in parameter.opts for parameter in LEAVES[words].params)


def test_shortcuts_are_the_long_commands() -> None:
    for short, long in (
        ("ps", "worker list"),
        ("ls", "model list"),
        ("list", "model list"),
        ("pull", "model pull"),
        ("show", "model show"),
        ("rm", "model rm"),
        ("stop", "worker rm"),
    ):
        assert LEAVES[short].callback is LEAVES[long].callback or (
            LEAVES[short].help == LEAVES[long].help
        )
