"""Nothing is lost: kill -9 of queen and hive in mid-answer, on a real model."""

import json
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.conftest import Home, environment_of

pytestmark = [pytest.mark.system, pytest.mark.model, pytest.mark.timeout(300)]

LONG = ("run", "smollm2", "Tell me a long story.", "--seed", "5", "--max-tokens", "200")
ENDLESS = ("What is the capital of France?", "--ignore-eos", "--max-tokens", "8000")
DEADLINE_S = 30.0


@pytest.fixture(scope="module")
def pool(models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    """A home whose hive has a process of its own, with a worker that serves smollm2."""
    folder = tmp_path_factory.mktemp("pool")
    home = Home(
        folder,
        environment_of(folder, RBEE_MODELS=str(models), RBEE_QUEEN_SEPARATE_HIVE="1"),
    )
    assert home.rbee("worker", "spawn", "smollm2").returncode == 0
    yield home
    assert home.rbee("queen", "stop").returncode == 0
    assert home.processes() == []


@pytest.fixture(scope="module")
def whole(pool: Home) -> str:
    """What the model says when nothing happens."""
    return pool.rbee(*LONG).stdout


def process_of(home: Home, module: str) -> psutil.Process:
    [found] = [each for each in home.processes() if module in each.cmdline()]
    return found


def kill(home: Home, module: str) -> None:
    process = process_of(home, module)
    process.kill()
    process.wait(10)


def begun(home: Home) -> str:
    """Start the long answer detached and return its id once tokens come."""
    job_id = home.rbee(*LONG, "--detach").stdout.strip()
    end_s = time.monotonic() + DEADLINE_S
    while home.json("job", "show", job_id)["events"] < 20:
        assert time.monotonic() < end_s
    return job_id


def test_who_waits_for_an_answer_gets_it_from_the_next_queen(pool: Home, whole: str) -> None:
    running = pool.start(*LONG)
    assert running.stdout is not None
    first = running.stdout.read(80)
    kill(pool, "rbee_queen")
    rest, stderr = running.communicate(timeout=60)
    assert running.returncode == 0, stderr
    assert first + rest == whole
    told = "warning: the connection to the queen broke; taking the story up again"
    assert stderr.splitlines().count(told) == 1
    assert "the queen is back; going on with localhost" in stderr


def test_a_detached_answer_is_watched_to_its_end_on_the_next_queen(pool: Home, whole: str) -> None:
    job_id = begun(pool)
    kill(pool, "rbee_queen")
    watched = pool.rbee("job", "watch", job_id)  # starts the next one
    assert watched.returncode == 0, watched.stderr
    assert watched.stdout == whole
    [job] = [job for job in pool.json("job", "list") if job["id"] == job_id]
    assert job["state"] == "completed"


def test_an_ended_story_is_the_same_after_any_restart(pool: Home) -> None:
    job_id = pool.json("job", "list")[0]["id"]
    before = pool.events(job_id)
    kill(pool, "rbee_queen")
    assert pool.events(job_id) == before
    sequences = [event["sequence"] for event in before]
    for after in (1, len(sequences) // 2, len(sequences) - 1):
        resumed = pool.rbee("job", "watch", job_id, "--json", "--from", str(sequences[after]))
        events = [json.loads(line) for line in resumed.stdout.splitlines()]
        assert [event["sequence"] for event in events] == sequences[after:]


def test_a_hive_that_dies_ends_its_job_with_the_reason_and_is_started_again(pool: Home) -> None:
    job_id = begun(pool)
    kill(pool, "rbee_hive")
    watched = pool.rbee("job", "watch", job_id)
    assert watched.returncode == 1
    job = pool.json("job", "show", job_id)
    assert (job["state"], job["error"]["reason"]) == ("failed", "HIVE_LOST")
    again = pool.rbee(*LONG[:3], "--max-tokens", "3")
    assert again.returncode == 0, again.stderr


def test_a_job_is_cancelled_at_once_though_its_hive_cannot_be_reached(pool: Home) -> None:
    job_id = begun(pool)
    hive = process_of(pool, "rbee_hive")
    hive.suspend()
    try:
        assert pool.rbee("job", "cancel", job_id).returncode == 0
        assert pool.rbee("job", "watch", job_id).returncode in (0, 130)
        assert pool.json("job", "show", job_id)["state"] == "cancelled"
    finally:
        hive.resume()
    end_s = time.monotonic() + DEADLINE_S
    while any(worker["state"] == "busy" for worker in pool.json("ps")):
        assert time.monotonic() < end_s, "the cancel never reached the worker"


def test_a_deadline_ends_the_work_and_says_what_it_was_doing(pool: Home) -> None:
    ended = pool.rbee("run", "smollm2", *ENDLESS, "--timeout", "1s")
    assert ended.returncode == 1
    job = pool.json("job", "list")[0]
    assert (job["state"], job["error"]["reason"]) == ("failed", "DEADLINE_EXCEEDED")
    end_s = time.monotonic() + DEADLINE_S
    while any(worker["state"] == "busy" for worker in pool.json("ps")):
        assert time.monotonic() < end_s, "the worker goes on"


def test_a_private_answer_leaves_nothing_on_the_disk(pool: Home) -> None:
    answered = pool.rbee(
        "run", "smollm2", "Say: the xylophone is quiet", "--private", "--max-tokens", "30"
    )
    assert answered.returncode == 0, answered.stderr
    assert len(answered.stdout) > 10
    job_id = pool.json("job", "list")[0]["id"]
    shown = pool.rbee("job", "watch", job_id)
    assert shown.stdout.strip() == ""
    assert "the text of the answer is not kept any more" in shown.stderr
    kept = b"".join(file.read_bytes() for file in (pool.folder / "state").glob("journal.db*"))
    assert b"xylophone" not in kept
    assert answered.stdout.strip()[:20].encode() not in kept
