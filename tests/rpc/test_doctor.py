"""`rbee doctor`: the real child, asked for by a hive, and what the keeper makes of its answer."""

import json
import os
import sys
from pathlib import Path

import pytest

from rbee.v1 import operation_pb2 as pb
from rbee_queen.operations import execute
from rbee_shared.doctor import examined
from rbee_shared.errors import UnavailableError
from tests.houses import House, reigning
from tests.keepers import Keeper, keeper_of
from tests.rpc.hive_house import served

MACHINE = pb.Operation(self_check=pb.SelfCheckOperation(machine=True))
CHECKS = [
    pb.Check(name="python", passed=True, detail="3.11", hive="attic"),
    pb.Check(name="cuDNN", passed=True, detail="missing", hint="install it", hive="attic"),
    pb.Check(name="onnxruntime", passed=False, detail="gone", hint="install it", hive="cellar"),
]


async def test_this_machine_is_looked_at_by_a_child() -> None:
    found = {check.name: check for check in await examined()}
    assert list(found)[:4] == ["python", "processor", "memory", "disk"]
    assert found["python"].passed
    assert found["onnxruntime"].passed
    assert found["computing on cpu:0"].detail == "a sum came out right"


async def test_a_hive_answers_for_its_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with served(tmp_path, monkeypatch) as hive:
        monkeypatch.setenv("PYTHONPATH", os.pathsep.join(sys.path))  # the real one, no stand-in
        found = (await hive.run(MACHINE)).self_check.checks
    assert {check.hive for check in found} == {"attic"}
    assert "computing on cpu:0" in [check.name for check in found]


async def test_the_queen_asks_all_hives_and_adds_nothing() -> None:
    async with reigning(House("attic"), House("cellar")) as queen:
        checks = (await execute(queen, MACHINE)).self_check.checks
    assert sorted(check.name for check in checks) == ["attic context", "cellar context"]


async def test_without_a_queen_this_machine_is_looked_at_and_none_is_started(
    tmp_path: Path,
) -> None:
    rbee = Keeper(tmp_path)
    done = await rbee("doctor", "--json")
    assert done.err == ""
    assert done.code == 0
    rows = json.loads(done.out)
    assert {row["hive"] for row in rows} == {"localhost"}
    assert (await rbee("doctor", "--hive", "attic")).code == 1
    assert json.loads((await rbee("queen", "status", "--json")).out)["running"] is False


async def test_every_check_of_every_hive_is_shown_and_a_failed_one_is_the_exit_code(
    tmp_path: Path,
) -> None:
    async def work(_: pb.Operation) -> pb.Result:
        return pb.Result(self_check=pb.SelfCheckResult(checks=CHECKS))

    async with keeper_of(tmp_path, work) as rbee:
        done = await rbee("doctor", "--hive", "attic")
        assert (rbee.last().machine, rbee.last().hive) == (True, "attic")
        rows = json.loads((await rbee("doctor", "--json")).out)
    assert done.code == 1
    assert "error: not well: onnxruntime (cellar)" in done.err
    assert [row["state"] for row in rows] == ["ok", "warn", "fail"]
    assert done.out.splitlines()[2].split() == [
        "attic",
        "cuDNN",
        "warn",
        "missing",
        "install",
        "it",
    ]


async def test_a_queen_in_trouble_is_one_of_the_things_found(tmp_path: Path) -> None:
    async def work(_: pb.Operation) -> pb.Result:
        raise UnavailableError("no hive can be heard", reason="NO_HIVE", hint="look at them")

    async with keeper_of(tmp_path, work) as rbee:
        done = await rbee("doctor", "--json")
    first, *others = json.loads(done.out)
    assert (first["name"], first["state"], first["hint"]) == ("queen", "fail", "look at them")
    assert "python" in [row["name"] for row in others], "this machine is looked at all the same"
    assert done.code == 1
