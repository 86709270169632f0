"""A cancel stops the work at whatever it is: loading a model, reading a prompt, waiting."""

import json
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Home, environment_of

pytestmark = [pytest.mark.system, pytest.mark.model, pytest.mark.timeout(300)]

ENDLESS = "What is the capital of France?"
ON_AND_ON = ("--ignore-eos", "--seed", "1", "--max-tokens", "8000")  # far longer than any test
SLOTS = "16"
LONG_PROMPT = "The bees fly over the hill and back again. " * 600  # some 6,000 tokens
DEADLINE_S = 30.0

Event = dict[str, Any]


@pytest.fixture
def cold(tmp_path: Path, models: Path) -> Iterator[Home]:
    """A home with a queen, the model on disk, and no worker."""
    found = Home(tmp_path / "h", environment_of(tmp_path / "h", RBEE_MODELS=str(models)))
    assert found.rbee("queen", "start").returncode == 0
    yield found
    assert found.rbee("queen", "stop").returncode == 0
    assert found.processes() == []


def started(
    home: Home, prompt: str, until: Callable[[Event], bool], *options: str
) -> "subprocess.Popen[str]":
    """Run an answer in the foreground up to an event."""
    running = home.start("run", "smollm2", prompt, "--json", *ON_AND_ON, *options)
    assert running.stdout is not None
    for line in running.stdout:
        if until(json.loads(line)):
            return running
    raise AssertionError("it ended before")


def told(action: str) -> Callable[[Event], bool]:
    return lambda event: event.get("narration", {}).get("action") == action


def cancel(home: Home, running: "subprocess.Popen[str]") -> None:
    """Cancel the newest job, which that command runs."""
    job_id = home.json("job", "list")[0]["id"]
    assert home.rbee("job", "cancel", job_id).returncode == 0
    running.communicate(timeout=DEADLINE_S)
    assert running.returncode == 1
    assert home.json("job", "show", job_id)["state"] == "cancelled"


def idle(home: Home) -> bool:
    return all(worker["state"] in ("ready", "stopped") for worker in home.json("ps"))


def until_idle(home: Home) -> None:
    end_s = time.monotonic() + DEADLINE_S
    while not idle(home):
        assert time.monotonic() < end_s, home.json("ps")


def test_while_a_worker_loads(cold: Home) -> None:
    running = started(cold, "hi", told("worker_spawn"))
    cancel(cold, running)
    until_idle(cold)
    again = cold.rbee("run", "smollm2", "hi", "--max-tokens", "3")
    assert again.returncode == 0, again.stderr


def test_while_a_prompt_is_read(warm: Home) -> None:
    running = started(warm, LONG_PROMPT, told("infer_start"))
    cancel(warm, running)
    until_idle(warm)
    events = warm.events(warm.json("job", "list")[0]["id"])
    assert not any("completion" in event for event in events), "it had begun to answer"


def test_while_it_waits_behind_another(warm: Home) -> None:
    first = started(warm, ENDLESS, lambda event: "completion" in event, "-n", SLOTS)
    second = started(warm, ENDLESS, told("infer_start"))
    cancel(warm, second)
    [running] = [job for job in warm.json("job", "list") if job["state"] == "running"]
    assert first.poll() is None, "the one before it was hurt"
    assert warm.rbee("job", "cancel", running["id"]).returncode == 0
    first.communicate(timeout=DEADLINE_S)
    until_idle(warm)
