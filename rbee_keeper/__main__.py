"""`rbee`: the command line. Commands raise; this file alone turns errors into exit codes.

Exit codes: 0 done; 1 failed, or nobody reads what is written; 2 wrong usage; 130 Ctrl-C.
"""

import difflib
import io
import os
import re
import sys
from importlib.metadata import version
from typing import Annotated, Any

import typer
import typer.main
from typer.core import TyperGroup

from rbee_keeper.lazy import Entry, LazyGroup, lazy_group
from rbee_shared.errors import RbeeError, known
from rbee_shared.narration.redact import clean_text

FAILED, USAGE, INTERRUPTED = 1, 2, 130

RUN, LOOK, MANAGE = "Ask", "Look", "Manage"
HERE = "rbee_keeper.commands"
COMMANDS = {
    "run": Entry(f"{HERE}.run", "Ask a model; starts and fetches what is needed.", RUN),
    "embed": Entry(f"{HERE}.embed", "Turn texts into vectors.", RUN),
    "pull": Entry(f"{HERE}.pull", "Fetch a model.", RUN),
    "ps": Entry(f"{HERE}.worker", "Show the workers.", LOOK, "ps_app"),
    "status": Entry(f"{HERE}.status", "Show the queen, its hives and addresses.", LOOK),
    "version": Entry(f"{HERE}.version", "Show the versions.", LOOK),
    "self-check": Entry(f"{HERE}.self_check", "Prove that all parts hear each other.", LOOK),
    "doctor": Entry(f"{HERE}.doctor", "Check what each machine has to compute with.", LOOK),
    "job": Entry(f"{HERE}.job", "List, watch and cancel jobs.", MANAGE),
    "model": Entry(f"{HERE}.model", "Fetch, list, check and remove models.", MANAGE),
    "worker": Entry(f"{HERE}.worker", "Start, list and stop workers.", MANAGE),
    "device": Entry(f"{HERE}.device", "List what there is to run on.", MANAGE),
    "hive": Entry(f"{HERE}.hive", "List the machines.", MANAGE),
    "queen": Entry(f"{HERE}.queen", "Start, stop and read the control plane.", MANAGE),
    "ls": Entry(f"{HERE}.model", "List the models.", "", "list_app"),
    "list": Entry(f"{HERE}.model", "List the models.", "", "list_app"),
    "show": Entry(f"{HERE}.model", "Show a model.", "", "show_app"),
    "rm": Entry(f"{HERE}.model", "Remove a model.", "", "rm_app"),
    "stop": Entry(f"{HERE}.worker", "Stop a worker.", "", "stop_app"),
}
HELP = """Run LLMs on your own machines.

    \b
    rbee run smollm2 "Why is the sky blue?"
    rbee COMMAND --help
"""

app = typer.Typer(
    cls=lazy_group(COMMANDS),
    help=HELP,
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

_QUOTED = re.compile(r"'([^']*)'")
_NEAR = re.compile(r" (?:Did you mean|\(Possible options:) ([^?)]+)")
UsageError: Any = typer.BadParameter.__mro__[1]  # typer names only some of click's errors


def _show_version(asked: bool) -> None:
    if asked:
        sys.stdout.write(f"rbee {version('rbee')}\n")
        raise typer.Exit


@app.callback()
def root(
    show_version: Annotated[
        bool,
        typer.Option(
            "--version",
            help="Show the version.",
            is_eager=True,
            callback=_show_version,
        ),
    ] = False,
) -> None:
    """Take the options that belong to no command."""


def main() -> None:
    """Run one command and exit."""
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")  # people read stderr; errors are told by us
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # no locale can make an answer a crash
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """Run one command and return the exit code."""
    if any(not _is_text(argument) for argument in arguments):
        sys.stderr.write("error: an argument is not UTF-8 text\nhint: `rbee --help` shows how\n")
        return USAGE
    command: Any = typer.main.get_command(app)
    try:
        code = command.main(args=arguments, prog_name="rbee", standalone_mode=False)
        sys.stdout.flush()
    except UsageError as error:
        return _tell_usage(error)
    except (KeyboardInterrupt, typer.Abort):
        sys.stderr.write("cancelled\n")
        return INTERRUPTED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    except (RbeeError, ExceptionGroup) as error:
        expected = known(error)
        if expected is None:
            raise
        _tell(expected, as_json="--json" in _options(arguments))
        return FAILED
    return code if isinstance(code, int) else 0


def _options(arguments: list[str]) -> list[str]:
    return arguments[: arguments.index("--")] if "--" in arguments else arguments


def _is_text(argument: str) -> bool:
    return not any("\ud800" <= character <= "\udfff" for character in argument)


def _tell(error: RbeeError, *, as_json: bool) -> None:
    from rbee_keeper import output  # noqa: PLC0415 - help and usage errors do without

    output.show_error(error, as_json=as_json)


def _tell_usage(error: Any) -> int:
    message: str = error.format_message()
    if not message:  # no arguments at all: what was printed is the help
        sys.stderr.write(error.ctx.get_help() + "\n")
        return USAGE
    if error.__class__.__name__ == "NoArgsIsHelpError":
        sys.stderr.write(f"{message}\n")
        return USAGE
    path = error.ctx.command_path if error.ctx else "rbee"
    message, hint = _reworded(message, path, error.ctx.command if error.ctx else None)
    sys.stderr.write(f"error: {clean_text(message)}\nhint: {clean_text(hint)}\n")
    return USAGE


def _reworded(message: str, path: str, command: Any) -> tuple[str, str]:
    """Return what is wrong in the house's words, and what to do, of a message of click's."""
    help_hint = f"`{path} --help` shows how"
    if message.startswith("No such command") and isinstance(command, TyperGroup):
        word = message.split("'")[1]
        names = command.entries if isinstance(command, LazyGroup) else command.commands
        found = difflib.get_close_matches(word, names, n=1)
        hint = f"did you mean `{path} {found[0]}`?" if found else help_hint
        return f"no command `{word}`", hint
    near = _NEAR.search(message)
    what = _QUOTED.sub(r"`\1`", message[: near.start()] if near else message).rstrip(".")
    hint = help_hint
    if near:
        names = near[1].replace("'", "").split(", ")
        word = what.rpartition(" ")[2]
        begun = [name for name in names if name.startswith(word)]
        closest = difflib.get_close_matches(word, begun or names, n=1, cutoff=0)
        hint = f"did you mean `{closest[0]}`?"
    return f"{what[:1].lower()}{what[1:]}", hint


if __name__ == "__main__":
    main()
