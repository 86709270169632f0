"""`python -m tests.story.forge`: real queens and hives, forked from a process that has them loaded.

A line `queen FOLDER` or `hive FOLDER` on stdin starts one in that home and answers with its pid.
What differs from the daemons that users start: a hive performs scripts, the queen's hive is behind
a link that the test can cut, and leases are short. Whoever dies is dead: they are killed for real.
"""

import importlib
import os
import signal
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from rbee_shared import limits

LEASE_S = 2.0
HIVE_LINK = "hive-link.sock"
EXECUTIONS = "executions"


def main() -> None:
    """Fork what is asked for until stdin ends."""
    limits.HIVE_LEASE_S = LEASE_S  # before the modules that read it are loaded
    roles = {role: importlib.import_module(f"rbee_{role}.__main__") for role in ("queen", "hive")}
    script = importlib.import_module("tests.story.script")
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for the dead
    for line in sys.stdin:
        role, folder = line.split()
        pid = os.fork()
        if pid == 0:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            _become(role, Path(folder))
            _changed(role, roles[role], Path(folder), script)
            roles[role].main()
        sys.stdout.write(f"{pid}\n")
        sys.stdout.flush()


def _become(role: str, folder: Path) -> None:
    os.setsid()
    os.environ.update(RBEE_HOME=str(folder), RBEE_QUEEN_LISTEN="127.0.0.1:0")
    sys.argv = [f"rbee-{role}"]
    null = os.open(os.devnull, os.O_RDONLY)
    out = os.open(folder / f"{role}.out", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    for source, target in ((null, 0), (out, 1), (out, 2)):
        os.dup2(source, target)


def _changed(role: str, module: Any, folder: Path, script: Any) -> None:
    if role == "hive":

        async def perform(_: Any, operation: Any) -> Any:
            return await script.perform(operation, folder / EXECUTIONS)

        module.execute = perform
        return

    @asynccontextmanager
    async def behind_the_link(_: Any) -> AsyncGenerator[str]:
        yield f"unix:{folder / HIVE_LINK}"

    queen: Any = importlib.import_module("rbee_queen.queen")
    queen.hive_process = behind_the_link
    sys.argv.append("--separate-hive")


if __name__ == "__main__":
    main()
