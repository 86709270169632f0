"""`python -m tests.story.forge`: real processes, forked from one that has their code loaded.

A line `queen FOLDER`, `hive FOLDER` or `keeper FOLDER ARGUMENT...` on stdin starts one in that home
and answers with its pid. What differs from what users start: a hive performs scripts, the queen's
hive is behind a link that the test can cut, leases are short, and a keeper leaves it to the test to
start a queen. Whoever dies is dead: they are killed for real.
"""

import importlib
import os
import signal
import sys
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from rbee_shared import limits

LEASE_S = 2.0
HIVE_LINK = "hive-link.sock"
EXECUTIONS = "executions"
LOADED = (
    "rbee_queen.__main__",
    "rbee_hive.__main__",
    "rbee_keeper.__main__",
    "rbee_keeper.commands.job",
    "google.protobuf.json_format",
    "tests.story.script",
)


def main() -> None:
    """Fork what is asked for until stdin ends."""
    limits.HIVE_LEASE_S = LEASE_S  # before the modules that read it are loaded
    for name in LOADED:
        importlib.import_module(name)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for the dead
    for line in sys.stdin:
        role, folder, *arguments = line.split()
        pid = os.fork()
        if pid == 0:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            _become(role, Path(folder), arguments)
            main_module = importlib.import_module(f"rbee_{role}.__main__")
            CHANGES[role](main_module, Path(folder))
            main_module.main()
        sys.stdout.write(f"{pid}\n")
        sys.stdout.flush()


def _become(role: str, folder: Path, arguments: Sequence[str]) -> None:
    os.setsid()
    os.environ.update(RBEE_HOME=str(folder), RBEE_QUEEN_LISTEN="127.0.0.1:0")
    sys.argv = [f"rbee-{role}", *arguments]
    name = f"keeper-{os.getpid()}" if role == "keeper" else role
    null = os.open(os.devnull, os.O_RDONLY)
    for source, target in ((null, 0), (_written(folder, name), 1), (_written(folder, role), 2)):
        os.dup2(source, target)


def _written(folder: Path, name: str) -> int:
    return os.open(folder / f"{name}.out", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)


def _scripted(hive_main: Any, folder: Path) -> None:
    script = importlib.import_module("tests.story.script")

    async def perform(_: Any, operation: Any) -> Any:
        return await script.perform(operation, folder / EXECUTIONS)

    hive_main.execute = perform


def _behind_the_link(_: Any, folder: Path) -> None:
    @asynccontextmanager
    async def linked_hive(_: Any) -> AsyncGenerator[str]:
        yield f"unix:{folder / HIVE_LINK}"

    queen: Any = importlib.import_module("rbee_queen.queen")
    queen.hive_process = linked_hive
    sys.argv.append("--separate-hive")


def _without_starting(_: Any, __: Path) -> None:
    errors = importlib.import_module("rbee_shared.errors")
    launch: Any = importlib.import_module("rbee_shared.lifecycle.launch")

    async def another_is_quicker(*_: Any, **__: Any) -> None:
        raise errors.AlreadyExistsError("the test starts it")

    launch.launch = another_is_quicker


CHANGES = {"hive": _scripted, "queen": _behind_the_link, "keeper": _without_starting}

if __name__ == "__main__":
    main()
