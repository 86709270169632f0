"""Write the pages of docs/ that follow from the code: errors.md and cli.md. `--check` compares.

Run it after adding an error or changing a command, and commit what it writes.
"""

import argparse
import ast
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import typer.main
from typer.core import TyperGroup

from rbee_keeper.__main__ import app
from rbee_shared import errors

DOCS = Path(__file__).resolve().parent
ROOT = DOCS.parent
WIDTH = 100
PACKAGES = ("shared/rbee_shared", "rbee_keeper", "rbee_queen", "rbee_hive", "rbee_worker")
STATUS_BY_CODE = {status.value[0]: status.name for status in grpc.StatusCode}

ERRORS_HEAD = """# Errors

What rbee says when something is wrong: one line with the error, one with a hint, and exit code 1
(2 for wrong usage, 130 after Ctrl-C). Over gRPC the status carries `google.rpc.ErrorInfo` with
the `reason` of this table, the domain `rbee` and the hint in `metadata.hint`; the last event of a
failed job carries the same in `state.error`. A reason is stable; messages and hints may get better.

| reason | gRPC status | raised when | hint |
|---|---|---|---|
"""
CLI_HEAD = """# The command line

Every command as `--help` shows it. This page is generated.
"""


@dataclass(frozen=True, order=True)
class Row:
    """One reason. `when` is the class's docstring or the message's template."""

    reason: str
    status: str
    when: str
    hint: str


class Errors(ast.NodeVisitor):
    """Finds error classes with a reason, and errors raised with one."""

    def __init__(self, kinds: dict[str, str]) -> None:
        self.kinds = kinds  # class name -> gRPC status
        self.rows: set[Row] = set()
        self.values: dict[str, dict[str, str]] = {}  # what classes of errors say

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        bases = [base.id for base in node.bases if isinstance(base, ast.Name)]
        status = next((self.kinds[base] for base in bases if base in self.kinds), "")
        if status:
            self.kinds.setdefault(node.name, status)
            status = self.kinds[node.name]
            values = {
                target.id: self._value(statement.value)
                for statement in node.body
                if isinstance(statement, ast.Assign)
                for target in statement.targets
                if isinstance(target, ast.Name)
            }
            self.values[node.name] = values
            if "reason" in values:
                when = (ast.get_docstring(node) or "").splitlines()[0].rstrip(".")
                self.rows.add(Row(values["reason"], status, when, values.get("hint", "")))
        self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> None:
        name = node.func.id if isinstance(node.func, ast.Name) else ""
        given = {each.arg: _text(each.value) for each in node.keywords if each.arg}
        if name in self.kinds and "reason" in given:
            when = _text(node.args[0]) if node.args else ""
            self.rows.add(Row(given["reason"], self.kinds[name], when, given.get("hint", "")))
        self.generic_visit(node)

    def _value(self, node: ast.expr) -> str:
        match node:
            case ast.Attribute(value=ast.Name(id=other), attr=name) if other in self.values:
                return self.values[other].get(name, "...")  # as another error has it
            case _:
                return _text(node)


def _text(node: ast.expr) -> str:
    if isinstance(node, ast.Constant):
        return str(node.value)
    if isinstance(node, ast.JoinedStr):
        return "".join(
            _text(each) if isinstance(each, ast.Constant) else "..." for each in node.values
        )
    return "..."


def errors_page() -> str:
    """Return the table of all reasons in the code."""
    kinds = {
        kind.__name__: STATUS_BY_CODE[kind.code]
        for kind in (errors.RbeeError, *errors.RbeeError.__subclasses__())
    }
    trees = [
        ast.parse(path.read_text())
        for package in PACKAGES
        for path in sorted((ROOT / package).rglob("*.py"))
    ]
    found = Errors(kinds)
    for _ in range(2):  # a class may derive from one of a later file
        found.rows.clear()
        for tree in trees:
            found.visit(tree)
    lines = [
        "| "
        + " | ".join(_cell(each) for each in (f"`{r.reason}`", r.status, r.when, r.hint))
        + " |"
        for r in sorted(found.rows)
    ]
    return ERRORS_HEAD + "\n".join(lines) + "\n"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def cli_page() -> str:
    """Return the help of every command."""
    root = typer.main.get_command(app)
    return CLI_HEAD + "".join(_help("rbee", root, None))


def _help(name: str, command: Any, parent: Any) -> Iterator[str]:
    context = command.context_class(
        command, info_name=name.rsplit(maxsplit=1)[-1], parent=parent, terminal_width=WIDTH
    )
    yield f"\n## `{name}`\n\n```text\n{command.get_help(context).rstrip()}\n```\n"
    if isinstance(command, TyperGroup):
        for each in command.list_commands(context):
            child: Any = command.get_command(context, each)
            if child is not None and not child.hidden:
                yield from _help(f"{name} {each}", child, context)


PAGES = {"errors.md": errors_page, "cli.md": cli_page}


def main() -> int:
    """Write the pages, or with --check compare."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if out of date")
    if not parser.parse_args().check:
        for name, page in PAGES.items():
            (DOCS / name).write_text(page())
        return 0
    stale = [
        name
        for name, page in PAGES.items()
        if not (DOCS / name).exists() or (DOCS / name).read_text() != page()
    ]
    if stale:
        sys.stderr.write(f"out of date, run `python docs/generate.py`: {', '.join(stale)}\n")
    return bool(stale)


if __name__ == "__main__":
    sys.exit(main())
