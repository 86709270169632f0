"""What a person sees of all that: the real commands, a real queen, and kill -9 of its hive."""

import json
import subprocess
import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

import pytest

from rbee_shared.limits import MIB
from tests.conftest import Home, environment_of
from tests.hub.faults import Kind
from tests.hub.hub import Hub
from tests.torture import invariants
from tests.torture.damage import flip
from tests.torture.repos import READY, WEIGHTS, ready, sent, settings, size_of
from tests.torture.torture import DEADLINE_S, FETCHING

pytestmark = [pytest.mark.system, pytest.mark.timeout(120)]

SMALL = ready(100_000)
LARGE = ready(48 * MIB)  # six of the pieces that are fetched at a time
SLOW_BYTES_PER_S = 24 * MIB
GATED, PRIVATE, ABSENT = "org/gated", "org/private", "org/absent"


@contextmanager
def home_of(folder: Path, hub: Hub, **more: str) -> Generator[Home]:
    """Have a home for the block; then its queen stops, and what must hold is checked."""
    home = Home(folder, environment_of(folder, **more))
    try:
        yield home
    finally:
        stopped = home.rbee("queen", "stop")
    assert stopped.returncode == 0, stopped.stderr
    assert home.processes() == []
    invariants.check_models(folder / "models")
    invariants.check_secret(hub, folder, b"")


@pytest.fixture
def home(tmp_path: Path, hub: Hub) -> Iterator[Home]:
    with home_of(tmp_path / "home", hub) as found:
        yield found


def refusal(home: Home, *arguments: str) -> tuple[str, str]:
    """Run a command that fails; return its error and its hint."""
    done = home.rbee(*arguments)
    assert (done.returncode, done.stdout) == (1, ""), done
    assert "Traceback" not in done.stderr
    lines = done.stderr.splitlines()
    (error,) = [line for line in lines if line.startswith("error: ")]
    (hint,) = [line for line in lines if line.startswith("hint: ")]
    return error.removeprefix("error: "), hint.removeprefix("hint: ")


def test_a_person_is_told_why_a_model_does_not_come_and_what_to_do(home: Home, hub: Hub) -> None:
    for repo in (GATED, PRIVATE, READY):
        hub.put(repo, SMALL)
    settings(hub, GATED, gated="manual")
    settings(hub, PRIVATE, is_private=True)
    host = hub.endpoint.removeprefix("http://")
    error, hint = refusal(home, "pull", GATED)
    assert "accept" in error + hint
    assert f"{hub.endpoint}/{GATED}" in hint
    assert refusal(home, "pull", ABSENT)[0] == f"`{host}` has no model `{ABSENT}`"
    error, hint = refusal(home, "pull", PRIVATE)
    assert "the token of the hive" in hint
    error, hint = refusal(home, "pull", f"{READY}@v9")
    assert error == f"`{READY}` has no revision `v9`"
    hub.faults.add(Kind.STATUS, f"api/{READY}", status=401, count=1)
    error, hint = refusal(home, "pull", READY)
    assert (error, "hf auth login" in hint) == (f"the token for `{host}` is not taken", True)
    flipped = hub.faults.add(Kind.FLIP, f"{READY}/{WEIGHTS}", offset=5)
    assert "the hash of" in refusal(home, "pull", READY)[0]
    assert flipped.reached.is_set()
    assert invariants.names_in(home.folder / "models") == {".parts"}


@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [
        ("HF_HUB_OFFLINE", "1", "HF_HUB_OFFLINE is set"),
        ("HF_ENDPOINT", "http://127.0.0.1:1", "`127.0.0.1:1` cannot be reached"),
    ],
)
def test_a_hub_that_is_not_to_be_had_is_told(
    tmp_path: Path, hub: Hub, variable: str, value: str, said: str
) -> None:
    with home_of(tmp_path / "home", hub, **{variable: value}) as home:
        error, hint = refusal(home, "pull", READY)
        assert (said in error, bool(hint)) == (True, True)


def test_a_pull_a_flipped_byte_and_what_mends_it(home: Home, hub: Hub) -> None:
    hub.put(READY, SMALL)
    assert home.rbee("pull", READY, "--dry-run").returncode == 0
    assert sent(hub, READY) == 0
    pulled = home.rbee("pull", READY)
    assert (pulled.returncode, "is here now" in pulled.stderr) == (0, True)
    (shown,) = home.json("model", "list")
    assert home.rbee("model", "verify").returncode == 0
    flip(Path(home.json("model", "show", READY)["folder"]) / WEIGHTS)
    damaged = home.rbee("model", "verify")
    assert (damaged.returncode, WEIGHTS in damaged.stdout + damaged.stderr) == (1, True)
    assert home.rbee("model", "verify", "--repair").returncode == 0
    assert home.rbee("model", "verify").returncode == 0
    assert shown["state"] == "available"
    assert home.rbee("model", "rm", READY).returncode == 0
    assert invariants.files_under(home.folder / "models") == []


@pytest.mark.parametrize(
    ("module", "reason", "more"),
    [
        ("rbee_queen", "QUEEN_RESTARTED", {}),
        ("rbee_hive", "HIVE_LOST", {"RBEE_QUEEN_SEPARATE_HIVE": "1"}),
    ],
    ids=["queen", "separate-hive"],
)
def test_a_pull_goes_on_whenever_its_hive_was_killed(
    tmp_path: Path, hub: Hub, module: str, reason: str, more: dict[str, str]
) -> None:
    hub.put(READY, LARGE)
    stories: list[list[float]] = []
    with home_of(tmp_path / "home", hub, **more) as home:
        for third in (1, 2):
            hub.faults.add(Kind.SLOW, f"{READY}/{WEIGHTS}", bytes_per_s=SLOW_BYTES_PER_S)
            with home.start("pull", READY, "--json") as process:
                out = read_until(process, third * len(LARGE[WEIGHTS]) // 3)
                kill(home, module)
                hub.faults.clear()
                assert process.stdout is not None
                out += process.stdout.read()
            assert (process.returncode, reason in out) == (1, True)
            stories.append(progress_in(out))
            wait_for_hive(home)
        before = sent(hub, READY)
        with home.start("pull", READY, "--json") as process:
            out, errors = process.communicate(timeout=DEADLINE_S)
        assert process.returncode == 0, errors
        stories.append(progress_in(out))
        for first, second in pairwise(stories):
            invariants.check_goes_on(first, second)
        assert sent(hub, READY) - before == size_of(LARGE) - stories[-1][0] < size_of(LARGE)
    invariants.check_nothing_left(tmp_path / "home" / "models", parts=False)


def kill(home: Home, module: str) -> None:
    [found] = [each for each in home.processes() if module in each.cmdline()]
    found.kill()
    found.wait(DEADLINE_S)


def wait_for_hive(home: Home) -> None:
    """Wait until the queen hears its hive again."""
    end_s = time.monotonic() + DEADLINE_S
    while [hive["state"] for hive in home.json("hive", "list")] != ["active"]:
        assert time.monotonic() < end_s, "the hive does not come back"


def read_until(process: "subprocess.Popen[str]", done_bytes: int) -> str:
    """Read what a command tells in JSON until its transfer is so far."""
    assert process.stdout is not None
    out = ""
    for line in process.stdout:
        out += line
        if max(progress_in(line), default=0) >= done_bytes:
            return out
    raise AssertionError(out)


def progress_in(lines: str) -> list[float]:
    """Return how far a transfer was, as a command told in JSON."""
    told = [json.loads(line).get("narration", {}) for line in lines.splitlines()]
    return [
        float(each["progress"].get("done", 0)) for each in told if each.get("action") == FETCHING
    ]
