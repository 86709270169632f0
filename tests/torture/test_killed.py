"""kill -9 of a hive at every part and every step of a pull: the next one goes on from there."""

import json
import subprocess
import sys
import threading
from collections.abc import Generator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

import psutil
import pytest

from tests.hub.faults import Fault, Kind
from tests.hub.hub import Hub
from tests.torture import invariants
from tests.torture.repos import GGUF, READY, WEIGHTS, ready, sent, size_of, tiny_gguf
from tests.torture.torture import DEADLINE_S, FETCHING
from tests.transfers import PIECE_BYTES

pytestmark = pytest.mark.system

PIECES = 12
FILES = ready(PIECES * PIECE_BYTES, _1=b"a second file")
STEPS = ("model_convert", "model_hash", "model_ready")


@contextmanager
def pulling(home: Path, model: str) -> Generator["subprocess.Popen[str]"]:
    command = [sys.executable, "-m", "tests.torture.child", str(home), model]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def rest(process: "subprocess.Popen[str]") -> list[tuple[str, str, float, float]]:
    """Return what a child says until it is gone."""
    assert process.stdout is not None
    return [tuple(json.loads(line)) for line in process.stdout if line.endswith("\n")]


def fetched(told: list[tuple[str, str, float, float]]) -> list[float]:
    return [done for action, _, done, _ in told if action == FETCHING]


def check(home: Path, *, parts: bool) -> None:
    """What must hold with nobody at work; what a kill left is swept first, as at every start."""
    models = home / "models"
    invariants.check_models(models)
    if not parts:
        invariants.check_nothing_left(models, parts=False)


def kill_at(fault: Fault, home: Path, model: str) -> list[float]:
    """Kill a pull when it comes to a fault; return how far it told that it was."""
    with pulling(home, model) as process:
        killer = threading.Thread(
            target=lambda: fault.reached.wait(DEADLINE_S) and process.kill(), daemon=True
        )
        killer.start()
        told = rest(process)
        killer.join()
        assert process.wait() == -9
    check(home, parts=True)
    return fetched(told)


def test_a_hive_that_is_killed_at_every_part_goes_on_each_time(tmp_path: Path, hub: Hub) -> None:
    hub.put(READY, FILES)
    home = tmp_path / "home"
    stories: list[list[float]] = []
    for _ in range(PIECES):
        stalled = hub.faults.add(Kind.STALL, f"{READY}/{WEIGHTS}", where="cdn", skip=1)
        stories.append(kill_at(stalled, home, READY))
        hub.faults.clear()
    before = sent(hub, READY)
    with pulling(home, READY) as process:
        stories.append(fetched(rest(process)))
        assert process.wait() == 0
    for first, second in pairwise(stories):
        invariants.check_goes_on(first, second)
    assert stories[-1][0] > 0
    assert sent(hub, READY) - before == size_of(FILES) - stories[-1][0]
    check(home, parts=False)


@pytest.mark.parametrize("step", STEPS)
def test_a_hive_that_is_killed_while_it_makes_the_model_makes_it_anew(
    tmp_path: Path, hub: Hub, step: str
) -> None:
    files = tiny_gguf(tmp_path)
    hub.put(GGUF, files)
    home = tmp_path / "home"
    with pulling(home, GGUF) as process:
        assert process.stdout is not None
        assert any(json.loads(line)[0] == step for line in process.stdout)
        children = psutil.Process(process.pid).children(recursive=True)
        process.kill()
        # whoever makes the model ends with the hive, or what it writes could be swept too early
        assert psutil.wait_procs(children, timeout=DEADLINE_S)[1] == []
    check(home, parts=True)
    with pulling(home, GGUF) as process:
        rest(process)
        assert process.wait() == 0
    assert sent(hub, GGUF) == size_of(files)
    check(home, parts=False)
