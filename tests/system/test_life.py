"""Starting and stopping: stale files, second starts, foreign processes, broken models."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from tests.conftest import Home, environment_of

pytestmark = [pytest.mark.system, pytest.mark.timeout(120)]


def test_queen_stop_leaves_no_process(home: Home) -> None:
    assert home.rbee("queen", "start").returncode == 0
    assert home.json("queen", "status")["running"] is True
    assert home.processes() != []
    assert home.rbee("queen", "stop").returncode == 0
    assert home.processes() == []
    assert home.json("queen", "status")["running"] is False


def test_a_separate_hive_is_a_process_of_its_own_and_stops_with_the_queen(home: Home) -> None:
    assert home.rbee("queen", "start", "--separate-hive").returncode == 0
    commands = [" ".join(process.cmdline()) for process in home.processes()]
    assert any("rbee_hive" in command for command in commands)
    [hive] = home.json("hive", "list")
    assert hive["name"] == "localhost"
    assert hive["address"].startswith("unix:")
    assert home.rbee("queen", "stop").returncode == 0
    assert home.processes() == []


def test_a_second_start_uses_the_first(home: Home) -> None:
    assert home.rbee("queen", "start").returncode == 0
    first = home.json("queen", "status")["pid"]
    assert home.rbee("queen", "start").returncode == 0
    assert home.json("queen", "status")["pid"] == first


def test_two_starts_at_once_make_one_queen(home: Home) -> None:
    starts = [home.start("queen", "start") for _ in range(3)]
    results = [start.communicate(timeout=40) for start in starts]
    assert [start.returncode for start in starts] == [0, 0, 0], results
    queens = [p for p in home.processes() if "rbee_queen" in " ".join(p.cmdline())]
    assert len(queens) == 1


def test_stale_files_stop_no_start_and_a_foreign_process_is_never_signalled(home: Home) -> None:
    run = home.folder / "run"
    run.mkdir(parents=True, mode=0o700)
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as foreign:
        stale = {
            "pid": foreign.pid,
            "start_time_s": psutil.Process(foreign.pid).create_time() - 1000,
            "address": f"unix:{run}/queen.sock",
            "version": "0.0.1",
        }
        (run / "queen.lock").write_text(json.dumps(stale))
        (run / "queen.sock").write_text("not a socket")
        assert home.rbee("queen", "stop").returncode == 0
        started = home.rbee("queen", "start")
        assert started.returncode == 0, started.stderr
        assert home.json("queen", "status")["pid"] != foreign.pid
        assert home.rbee("queen", "stop").returncode == 0
        assert foreign.poll() is None
        foreign.kill()


def test_a_killed_queen_is_replaced_and_its_worker_is_gone(home: Home) -> None:
    assert home.rbee("queen", "start").returncode == 0
    psutil.Process(home.json("queen", "status")["pid"]).kill()
    listed = home.rbee("model", "list", "--json")
    assert listed.returncode == 0, listed.stderr
    assert json.loads(listed.stdout) == []


@pytest.mark.model
@pytest.mark.timeout(300)
@pytest.mark.parametrize("damage", ["model.onnx", "model.onnx.data", "tokenizer.json"])
def test_a_damaged_model_fails_the_job_with_its_reason_and_leaves_nothing(
    damage: str, models: Path, tmp_path: Path
) -> None:
    [onnx] = models.glob("*/model.onnx")
    folder = tmp_path / "damaged"
    shutil.copytree(onnx.parent, folder)
    (folder / "metadata.yaml").unlink()
    file = folder / damage
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 3])
    home = Home(tmp_path / "home", environment_of(tmp_path / "home"))
    result = home.rbee("run", f"file:{folder}", "Hi", "--verbose")
    assert result.returncode == 1, result.stdout
    assert "error:" in result.stderr
    assert "hint:" in result.stderr
    assert "Traceback" not in result.stderr
    assert [w for w in home.json("ps") if w["state"] != "failed"] == []
    assert home.rbee("queen", "stop").returncode == 0
    assert home.processes() == []
