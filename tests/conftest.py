"""Fixtures shared by every test: a home of its own, real processes, ports chosen by the kernel."""

import os
import subprocess
import sys
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from rbee_shared.lifecycle import ready


@dataclass(frozen=True)
class Home:
    """One user's rbee, apart from all others: folders, environment, and the command line."""

    folder: Path
    environment: Mapping[str, str]

    def rbee(
        self, *args: str, timeout_s: float = 60, stdin: str | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run the command line to its end."""
        return subprocess.run(
            [sys.executable, "-m", "rbee_keeper", *args],
            capture_output=True,
            text=True,
            input=stdin,
            stdin=subprocess.DEVNULL if stdin is None else None,
            timeout=timeout_s,
            env=self.environment,
            check=False,
        )

    def start(self, *args: str) -> "subprocess.Popen[str]":
        """Start the command line and return while it runs."""
        return subprocess.Popen(
            [sys.executable, "-m", "rbee_keeper", *args],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=self.environment,
        )


def environment_of(folder: Path, **more: str) -> dict[str, str]:
    """Return an environment in which rbee keeps to `folder`."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("RBEE_")}
    return {
        **kept,
        "RBEE_HOME": str(folder),
        "RBEE_QUEEN_LISTEN": "127.0.0.1:0",
        "NO_COLOR": "1",
        **more,
    }


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    """An empty home; its queen, if a test started one, is stopped, and must stop."""
    found = Home(tmp_path / "home", environment_of(tmp_path / "home"))
    yield found
    stopped = found.rbee("queen", "stop")
    assert stopped.returncode == 0, stopped.stderr


@contextmanager
def running(module: str, *args: str, environment: Mapping[str, str]) -> Generator[ready.Ready]:
    """Run `python -m module`, yield its ready line, then stop it and insist it stops cleanly."""
    command = [sys.executable, "-m", module, *args]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout is not None
        try:
            found = None
            while found is None:
                line = process.stdout.readline()
                assert line, "it ended before it was ready"
                found = ready.parse(line)
            yield found
        finally:
            process.terminate()
            process.stdout.read()
            assert process.wait(timeout=20) == 0
