"""Fixtures shared by every test: a home of its own, real processes, ports chosen by the kernel."""

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest

from rbee_shared.lifecycle import ready

NO_HUB = "http://127.0.0.1:9"  # whoever has no hub of their own has none


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add how many random histories are played."""
    parser.addoption("--seeds", type=int, default=200, help="random histories to play")


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

    def json(self, *args: str) -> Any:
        """Run a command with --json, insist that it works, and return its document."""
        result = self.rbee(*args, "--json")
        assert result.returncode == 0, result.stderr
        return json.loads(result.stdout)

    def events(self, job_id: str) -> list[dict[str, Any]]:
        """Return the whole story of a job."""
        result = self.rbee("job", "watch", job_id, "--json")
        return [json.loads(line) for line in result.stdout.splitlines()]

    def processes(self) -> list[psutil.Process]:
        """Return every process that lives in this home."""
        found: list[psutil.Process] = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                if process.environ().get("RBEE_HOME") == str(self.folder):
                    found.append(process)
        return found


def environment_of(folder: Path, **more: str) -> dict[str, str]:
    """Return an environment in which rbee keeps to `folder`."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("RBEE_")}
    return {
        "HF_ENDPOINT": NO_HUB,
        "HF_HOME": str(folder / "hf"),
        **kept,
        "RBEE_HOME": str(folder),
        "RBEE_QUEEN_LISTEN": "127.0.0.1:0",
        "NO_COLOR": "1",
        **more,
    }


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model store with smollm2, pulled and converted once a session by the real command."""
    if given := os.environ.get("RBEE_TEST_MODELS"):
        return Path(given)
    folder = tmp_path_factory.mktemp("models")
    home = Home(
        folder / "home", environment_of(folder / "home", RBEE_MODELS=str(folder / "models"))
    )
    pulled = home.rbee("pull", "smollm2", timeout_s=280)
    stopped = home.rbee("queen", "stop")
    assert pulled.returncode == 0, pulled.stderr
    assert stopped.returncode == 0, stopped.stderr
    return folder / "models"


@pytest.fixture(scope="module", params=["embedded", "separate"])
def warm(
    request: pytest.FixtureRequest, models: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Home]:
    """A home with a queen and a worker that serves smollm2: with one process, and with two hops."""
    folder = tmp_path_factory.mktemp(request.param)
    separate = {"RBEE_QUEEN_SEPARATE_HIVE": "1"} if request.param == "separate" else {}
    home = Home(folder, environment_of(folder, RBEE_MODELS=str(models), **separate))
    spawned = home.rbee("worker", "spawn", "smollm2")
    assert spawned.returncode == 0, spawned.stderr
    yield home
    stopped = home.rbee("queen", "stop")
    assert stopped.returncode == 0, stopped.stderr
    assert home.processes() == []


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
