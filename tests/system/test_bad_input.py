"""Bad input of every command: one clear line, a hint, exit 2 or 1, nothing on stdout."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import Home, environment_of

pytestmark = [pytest.mark.system, pytest.mark.timeout(60)]

USAGE = [
    ("rn",),
    ("run",),
    ("run", "--no-such-option", "smollm2"),
    ("run", "smollm2", "hi", "--temperature", "warm"),
    ("run", "smollm2", "hi", "--timeout", "soon"),
    ("run", "smollm2", "hi", "-n", "17"),
    ("run", "smollm2", "hi", "--schema", "{"),
    ("run", "smollm2", "hi", "--raw", "--tools", "/nowhere.json"),
    ("embed",),
    ("ps", "--jsn"),
    ("queen", "restart"),
    ("queen", "logs", "-n", "0"),
    ("model",),
    ("model", "pull"),
    ("model", "show"),
    ("worker", "spawn"),
    ("worker", "spawn", "smollm2", "--cores", "-1"),
    ("worker", "rm"),
    ("device", "lst"),
    ("job", "watch"),
    ("job", "watch", "x", "--from", "0"),
    ("job", "cancel"),
    ("hive", "show"),
    ("version", "extra"),
    ("status", "extra"),
]
FAILURES = [
    (("run", "no-such-model", "hi"), "no-such-model"),
    (("run", "smolm2", "hi"), "smollm2"),
    (("run", "hf:org/repo", "hi"), "`127.0.0.1:9` cannot be reached"),
    (("run", "file:relative", "hi"), "relative"),
    (("run", "file:/nowhere/m.gguf", "hi"), "m.gguf"),
    (("run", "pypi:../../etc==1", "hi"), ""),
    (("run", "smollm2", ""), "no prompt"),
    (("embed", "smollm2", ""), "no text"),
    (("run", "smollm2", "hi", "--device", "tpu:0"), "tpu:0"),
    (("run", "smollm2", "hi", "--hive", "attic"), "attic"),
    (("run", "smollm2", "hi", "--worker", "w-000000"), "w-000000"),
    (("model", "show", "smollm2"), "smollm2"),
    (("model", "rm", "smollm2"), "smollm2"),
    (("model", "list", "--hive", "attic"), "attic"),
    (("model", "pull", "smollm2", "--hive", "attic"), "attic"),
    (("worker", "show", "w-000000"), "w-000000"),
    (("worker", "rm", "w-000000"), "w-000000"),
    (("worker", "logs", "w-000000"), "w-000000"),
    (("worker", "spawn", "smollm2", "--device", "cuda:9"), "cuda:9"),
    (("worker", "list", "--hive", "attic"), "attic"),
    (("device", "list", "--hive", "attic"), "attic"),
    (("job", "show", "j-000000000000"), "j-000000000000"),
    (("job", "watch", "j-000000000000"), "j-000000000000"),
    (("job", "cancel", "j-000000000000"), "j-000000000000"),
    (("hive", "show", "attic"), "attic"),
]


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    folder = tmp_path_factory.mktemp("alone")
    home = Home(folder, environment_of(folder))
    yield home
    assert home.rbee("queen", "stop").returncode == 0
    assert home.processes() == []


def check(result: "subprocess.CompletedProcess[str]", code: int) -> list[str]:
    assert result.returncode == code, result.stderr
    assert result.stdout == ""
    assert "Traceback" not in result.stderr
    lines = [line for line in result.stderr.splitlines() if line.startswith(("error:", "hint:"))]
    assert [line.split(":")[0] for line in lines] == ["error", "hint"], result.stderr
    return lines


@pytest.mark.parametrize("arguments", USAGE, ids=" ".join)
def test_wrong_usage_is_one_line_and_a_hint(alone: Home, arguments: tuple[str, ...]) -> None:
    if arguments == ("model",):  # a noun alone shows its help
        result = alone.rbee(*arguments)
        assert result.returncode == 2
        assert "Usage:" in result.stderr
        return
    result = alone.rbee(*arguments)
    check(result, 2)
    assert len(result.stderr.splitlines()) == 2


@pytest.mark.parametrize(("arguments", "named"), FAILURES, ids=[" ".join(a) for a, _ in FAILURES])
def test_what_cannot_be_done_is_one_line_and_a_hint(
    alone: Home, arguments: tuple[str, ...], named: str
) -> None:
    lines = check(alone.rbee(*arguments), 1)
    assert named in "".join(lines)


def test_an_error_is_json_for_programs(alone: Home) -> None:
    result = alone.rbee("hive", "show", "attic", "--json")
    error = json.loads(result.stderr.splitlines()[-1])["error"]
    assert (error["reason"], result.returncode) == ("HIVE_NOT_FOUND", 1)


def test_a_prompt_that_is_no_text_is_refused(alone: Home) -> None:
    result = subprocess.run(
        [sys.executable, "-m", "rbee_keeper", "run", "smollm2"],
        input=b"\xff\xfe\x00",
        capture_output=True,
        env=alone.environment,
        timeout=30,
        check=False,
    )
    assert result.returncode == 1
    assert b"not UTF-8" in result.stderr


def test_an_argument_that_is_no_text_is_wrong_usage(alone: Home) -> None:
    check(alone.rbee("run", "smollm2", "\udcff"), 2)


def test_unknown_settings_name_the_nearest(tmp_path: Path) -> None:
    home = Home(tmp_path, environment_of(tmp_path))
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "config.toml").write_text("[queen]\nlistn = '127.0.0.1:0'\n")
    lines = check(home.rbee("queen", "start"), 1)
    assert "queen.listen" in lines[1]


def test_an_address_off_loopback_is_refused(tmp_path: Path) -> None:
    home = Home(tmp_path, environment_of(tmp_path, RBEE_QUEEN_LISTEN="0.0.0.0:0"))
    lines = check(home.rbee("queen", "start"), 1)
    assert "loopback" in lines[0]
    assert home.processes() == []


def test_a_home_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("")
    home = Home(file, environment_of(file))
    lines = check(home.rbee("ps"), 1)
    assert str(file) in lines[0]


def test_nobody_reading_the_output_is_no_error(alone: Home) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "wb") as closed:
        result = subprocess.run(
            [sys.executable, "-m", "rbee_keeper", "device", "list"],
            stdout=closed,
            stderr=subprocess.PIPE,
            env=alone.environment,
            timeout=30,
            check=False,
        )
    assert result.stderr == b""
    assert result.returncode == 1
