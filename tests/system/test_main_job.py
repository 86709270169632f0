"""The main job on a real model: keeper, queen, hive and worker, in one process and in two hops."""

import itertools
import json
import re
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.conftest import Home, environment_of

pytestmark = [pytest.mark.system, pytest.mark.model, pytest.mark.timeout(300)]

LONG = "What is the capital of France?"
ON_AND_ON = ("--ignore-eos", "--seed", "1", "--max-tokens", "8000")  # far longer than any test


def start_answer(home: Home) -> tuple[str, "subprocess.Popen[str]"]:
    """Start a long answer; return its job id once tokens come."""
    running = home.start("run", "smollm2", LONG, "--json", *ON_AND_ON)
    assert running.stdout is not None
    job_id = ""
    for line in running.stdout:
        event = json.loads(line)
        if "completion" in event:
            return job_id, running
        if not job_id:
            job_id = home.json("job", "list")[0]["id"]
    raise AssertionError("no token came")


def state_of(home: Home, job_id: str) -> str:
    return home.json("job", "show", job_id)["state"]


def test_an_answer_is_alone_on_stdout(warm: Home) -> None:
    result = warm.rbee(
        "run",
        "smollm2",
        "Why is the sky blue?",
        "--temperature",
        "0",
        "--max-tokens",
        "30",
    )
    assert result.returncode == 0, result.stderr
    assert "scatter" in result.stdout
    assert "smollm2" not in result.stdout


def test_the_prompt_may_come_from_standard_input(warm: Home) -> None:
    args = ("run", "smollm2", "--temperature", "0", "--max-tokens", "40")
    by_argument = warm.rbee(*args, "Why is the sky blue?")
    by_stdin = warm.rbee(*args, stdin="Why is the sky blue?")
    assert by_stdin.returncode == 0, by_stdin.stderr
    assert by_stdin.stdout == by_argument.stdout


def test_a_worker_is_shown(warm: Home) -> None:
    [worker] = warm.json("ps")
    assert worker["alias"] == "smollm2"
    assert worker["device"] == "cpu:0"
    assert worker["state"] in ("ready", "busy")
    assert psutil.pid_exists(worker["pid"])


def test_a_seed_repeats_the_text(warm: Home) -> None:
    args = ("run", "smollm2", "--temperature", "0.8", "--max-tokens", "40", "Tell me a story.")
    first = warm.rbee(*args, "--seed", "7")
    again = warm.rbee(*args, "--seed", "7")
    other = warm.rbee(*args, "--seed", "8")
    assert first.stdout == again.stdout != other.stdout


def test_max_tokens_and_stop_hold(warm: Home) -> None:
    few = warm.rbee(
        "run", "smollm2", "Tell me a story.", "--max-tokens", "5", "--json", "--seed", "1"
    )
    events = [json.loads(line) for line in few.stdout.splitlines()]
    tokens = sum(len(e["completion"]["token_ids"]) for e in events if "completion" in e)
    [result] = [event["result"]["infer"] for event in events if "result" in event]
    assert tokens == result["usage"]["completion_tokens"] == 5
    assert result["finishes"][0]["reason"] == "FINISH_REASON_LENGTH"
    args = (
        "run",
        "smollm2",
        "Count: one two three four",
        "--temperature",
        "0",
        "--max-tokens",
        "60",
    )
    whole = warm.rbee(*args).stdout
    word = whole.split()[2]
    stopped = warm.rbee(*args, "--stop", word).stdout
    assert stopped.rstrip("\n") == whole[: whole.index(word)].rstrip("\n")


def test_a_prompt_beyond_the_context_is_refused_with_both_numbers(warm: Home) -> None:
    result = warm.rbee("run", "smollm2", stdin="word " * 9000)
    assert result.returncode == 1
    assert re.search(r"the prompt has 90\d\d tokens.* 8192", result.stderr), result.stderr
    assert result.stdout == ""


def test_the_story_is_whole_for_a_late_watcher_and_the_same_for_two(warm: Home) -> None:
    job_id, running = start_answer(warm)
    watchers = [warm.start("job", "watch", job_id, "--json") for _ in range(2)]
    cancelled = warm.rbee("job", "cancel", job_id)
    assert cancelled.returncode == 0, cancelled.stderr
    stories = [watcher.communicate(timeout=30)[0] for watcher in watchers]
    running.communicate(timeout=30)
    texts: list[str] = []
    for story in stories:
        events = [json.loads(line) for line in story.splitlines()]
        assert int(events[0]["sequence"]) == 1
        for before, event in itertools.pairwise(events):
            assert int(event["first_sequence"]) == int(before["sequence"]) + 1
        assert events[-1]["state"]["state"] == "JOB_STATE_CANCELLED"
        texts.append("".join(e.get("completion", {}).get("text", "") for e in events))
    assert texts[0] == texts[1] != ""


def test_a_cancel_ends_the_answer_and_frees_the_worker(warm: Home) -> None:
    job_id, running = start_answer(warm)
    warm.rbee("job", "cancel", job_id)
    running.communicate(timeout=10)
    assert running.returncode == 1
    assert state_of(warm, job_id) == "cancelled"
    [worker] = warm.json("ps")
    assert worker["state"] == "ready"
    after = warm.rbee("run", "smollm2", "Hi", "--max-tokens", "3")
    assert after.returncode == 0, after.stderr


def test_control_c_cancels_the_job(warm: Home) -> None:
    job_id, running = start_answer(warm)
    running.send_signal(signal.SIGINT)
    running.communicate(timeout=10)
    assert running.returncode == 130
    assert state_of(warm, job_id) == "cancelled"


def test_a_lost_connection_cancels_a_foreground_job(warm: Home) -> None:
    job_id, running = start_answer(warm)
    running.kill()
    running.communicate(timeout=10)
    story = warm.events(job_id)  # follows to the end
    assert story[-1]["state"]["state"] == "JOB_STATE_CANCELLED"


def test_a_detached_job_goes_on_and_can_be_watched(warm: Home) -> None:
    detached = warm.rbee("run", "smollm2", "Say hello.", "--max-tokens", "20", "--detach")
    assert detached.returncode == 0, detached.stderr
    story = warm.events(detached.stdout.strip())
    assert story[-1]["state"]["state"] == "JOB_STATE_COMPLETED"


def test_a_device_that_is_not_there_is_refused(warm: Home) -> None:
    if any(device["id"] == "cuda:7" for device in warm.json("device", "list")):
        pytest.skip("this machine has eight cards")
    result = warm.rbee("run", "smollm2", "Hi", "--device", "cuda:7")
    assert result.returncode == 1
    assert "has no device `cuda:7`" in result.stderr
    assert "hint:" in result.stderr
    assert len(warm.json("ps")) == 1


def test_a_worker_killed_in_mid_answer_fails_the_job_with_a_reason(warm: Home) -> None:
    job_id, running = start_answer(warm)
    [worker] = [each for each in warm.json("ps") if each["state"] == "busy"]
    psutil.Process(worker["pid"]).kill()
    _, stderr = running.communicate(timeout=20)
    assert running.returncode == 1
    job = warm.json("job", "show", job_id)
    assert job["state"] == "failed"
    assert job["error"]["reason"] == "WORKER_DIED", stderr
    assert "SIGKILL" in job["error"]["message"]
    again = warm.rbee("run", "smollm2", "Hi", "--max-tokens", "3")  # a new worker is spawned
    assert again.returncode == 0, again.stderr
    spawning = next(job for job in warm.json("job", "list") if job["kind"] == "infer")["id"]
    story = warm.events(spawning)
    actors = {event["narration"]["actor"] for event in story if "narration" in event}
    assert "worker" in actors, "its start-up lines, printed before it has any job"


def test_jobs_are_listed_newest_first(warm: Home) -> None:
    jobs = warm.json("job", "list")
    times = [job["create_time"] for job in jobs]
    assert times == sorted(times, reverse=True)
    assert {job["kind"] for job in jobs} >= {"infer", "worker_spawn"}


def test_twenty_jobs_at_once_each_tell_their_own_story(warm: Home) -> None:
    # more than there are slots: some queue, and none hears another
    prompts = [f"Repeat the number {number}." for number in range(100, 120)]
    begin = time.monotonic()
    runs = [
        warm.start("run", "smollm2", prompt, "--max-tokens", "8", "--temperature", "0", "--json")
        for prompt in prompts
    ]
    texts: list[str] = []
    for run in runs:
        stdout, stderr = run.communicate(timeout=200)
        assert run.returncode == 0, stderr
        events = [json.loads(line) for line in stdout.splitlines()]
        sequences = [int(event["sequence"]) for event in events]
        assert sequences == sorted(set(sequences))
        texts.append("".join(e.get("completion", {}).get("text", "") for e in events))
    assert time.monotonic() - begin < 200
    single = warm.rbee("run", "smollm2", prompts[3], "--max-tokens", "8", "--temperature", "0")
    assert texts[3].strip() == single.stdout.strip()


def test_one_process_and_two_hops_tell_the_same_story(
    models: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    stories: list[list[tuple[str, ...]]] = []
    for arguments in ((), ("--separate-hive",)):
        folder = tmp_path_factory.mktemp("mode")
        home = Home(folder, environment_of(folder, RBEE_MODELS=str(models)))
        asked = ("run", "smollm2", "A story.", "--seed", "7", "--max-tokens", "30", "--json")
        result = home.rbee(*asked, *arguments)
        assert result.returncode == 0, result.stderr
        hives = [p for p in home.processes() if "rbee_hive" in " ".join(p.cmdline())]
        assert len(hives) == len(arguments)
        events = [json.loads(line) for line in result.stdout.splitlines()]
        stories.append([told(event) for event in events if "completion" not in event])
        text = "".join(e.get("completion", {}).get("text", "") for e in events)
        stories[-1].append(("text", text))
        assert home.rbee("queen", "stop").returncode == 0
        assert home.processes() == []
    assert stories[0] == stories[1]


def told(event: dict[str, Any]) -> tuple[str, ...]:
    if "narration" in event:
        return (event["narration"]["actor"], event["narration"]["action"])
    return tuple(key for key in event if key in ("state", "result"))
