"""The five ways by which what is told reaches people, and the lines that they see."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import Home, environment_of

pytestmark = [pytest.mark.system, pytest.mark.timeout(120)]

PLACED = "smollm2 goes to hive localhost: has the model; spawns a worker"
PROGRAM = """
import asyncio
from rbee.v1 import operation_pb2
from rbee_client import connect

heard = []
async def main():
    operation = operation_pb2.Operation()
    operation.self_check.SetInParent()
    async with connect() as client:
        result = await client.call(operation, on_event=heard.append)
        told = [event.narration.human async for event in client.run(operation)]
    assert [event.narration.human for event in heard] == told
    for human in told:
        if human:
            print(human)
    print(all(check.passed for check in result.self_check.checks))

asyncio.run(main())
"""


@pytest.fixture
def separate(tmp_path: Path, models: Path) -> Home:
    folder = tmp_path / "home"
    return Home(folder, environment_of(folder, RBEE_MODELS=str(models)))


def test_the_keeper_starts_the_queen_and_shows_what_it_says(home: Home) -> None:
    started = home.rbee("queen", "start")
    assert started.stderr.splitlines()[:3] == [
        "starting the queen",
        "hive localhost takes work",
        "the queen takes calls",
    ]
    again = home.rbee("queen", "start")
    assert "starting" not in again.stderr


def test_the_keeper_shows_what_a_hive_says_that_starts_behind_the_queen(home: Home) -> None:
    started = home.rbee("queen", "start", "--separate-hive", "--verbose")
    lines = started.stderr.splitlines()
    assert lines[0] == "[queen     ] queen_start    : starting the queen"
    assert "[hive      ] hive_start     : starting hive localhost" in lines
    assert lines.index("[hive      ] hive_start     : starting hive localhost") < lines.index(
        "[queen     ] queen_ready    : the queen takes calls"
    )


@pytest.mark.model
def test_a_job_tells_of_every_process_that_it_goes_through(separate: Home) -> None:
    try:
        told = separate.rbee(
            "run", "smollm2", "hi", "--separate-hive", "--verbose", "--max-tokens", "3"
        )
        assert told.returncode == 0, told.stderr
        lines = [line for line in told.stderr.splitlines() if line.startswith("[")]
        shown = [
            re.sub(r" with \d+ x 8192 tokens$", "", re.sub(r"w-[0-9a-f]{6}", "w-000001", line))
            for line in lines
        ]
        in_order = [
            "[queen     ] queen_start    : starting the queen",
            "[hive      ] hive_start     : starting hive localhost",
            "[queen     ] queen_ready    : the queen takes calls",
            f"[queen     ] infer_place    : {PLACED}",
            "[hive      ] worker_spawn   : starting w-000001 for smollm2 on cpu:0",
            "[worker    ] worker_start   : worker w-000001 starts",
            "[hive      ] infer_start    : smollm2 answers on w-000001",
        ]
        places = [shown.index(line) for line in in_order]
        assert places == sorted(places), told.stderr
        # a worker's start-up lines are told before it knows of any job
        job = separate.json("job", "list")[0]["id"]
        actors = {
            event["narration"]["actor"] for event in separate.events(job) if "narration" in event
        }
        assert actors == {"queen", "hive", "worker"}
    finally:
        assert separate.rbee("queen", "stop").returncode == 0


def test_a_program_hears_by_callback_what_a_loop_hears(home: Home) -> None:
    assert home.rbee("queen", "start", "--separate-hive").returncode == 0
    heard = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        capture_output=True,
        text=True,
        timeout=60,
        env=home.environment,
        check=False,
    )
    assert heard.stderr == ""
    *told, passed = heard.stdout.splitlines()
    assert passed == "True"
    for who in ("queen", "hive"):
        for where in ("coroutine", "task", "thread", "generator"):
            assert f"{who} tells from a {where}" in told


def test_a_program_without_a_queen_is_told_so(home: Home) -> None:
    program = (
        "import asyncio, rbee_client\n"
        "async def main():\n"
        "    async with rbee_client.connect(): pass\n"
        "asyncio.run(main())\n"
    )
    refused = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        timeout=60,
        env=home.environment,
        check=False,
    )
    assert "QueenNotRunningError: the queen does not run" in refused.stderr
    assert json.loads(home.rbee("queen", "status", "--json").stdout)["running"] is False
