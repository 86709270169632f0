"""Exit codes and usage errors; no command here starts a queen."""

import io
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from rbee_keeper.__main__ import run
from tests.terminal import HOSTILE

Captured = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("RBEE_HOME", str(tmp_path))
    yield tmp_path
    assert not list(tmp_path.rglob("queen.lock")), "a queen was started"


def usage(capsys: Captured, *arguments: str) -> list[str]:
    assert run(list(arguments)) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    return captured.err.splitlines()


def test_what_works_is_0(capsys: Captured) -> None:
    assert run(["version", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["queen"] is None
    assert run(["--version"]) == 0
    assert capsys.readouterr().out == f"rbee {facts['rbee']}\n"
    assert run(["queen", "status"]) == 0
    assert "running   no" in capsys.readouterr().out


def test_what_fails_is_1_with_a_hint(capsys: Captured) -> None:
    assert run(["queen", "logs"]) == 1
    captured = capsys.readouterr()
    assert captured.err.splitlines() == [
        "error: no queen has written a log yet",
        "hint: `rbee queen start`",
    ]
    assert run(["queen", "logs", "--json"]) == 1
    assert json.loads(capsys.readouterr().err)["error"]["reason"] == "LOG_MISSING"


def test_what_stands_after_two_dashes_is_no_option(capsys: Captured) -> None:
    assert run(["run", "smollm2", "--", " ", "--json"]) == 2
    assert capsys.readouterr().err.startswith("error: got unexpected extra argument")


def test_nothing_at_all_shows_the_help(capsys: Captured) -> None:
    lines = usage(capsys)
    assert lines[0] == "Usage: rbee [OPTIONS] COMMAND [ARGS]..."
    assert "Ask:" in lines


def test_a_noun_alone_shows_its_help(capsys: Captured) -> None:
    assert usage(capsys, "model")[0] == "Usage: rbee model [OPTIONS] COMMAND [ARGS]..."


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("rn", "rbee run"),
        ("statsu", "rbee status"),
        ("lst", "rbee list"),
        ("model pul", "rbee model pull"),
        ("worker span", "rbee worker spawn"),
        ("ps --jsn", "--json"),
        ("run m --verbos", "--verbose"),
        ("run m --ver", "--verbose"),
    ],
)
def test_a_typo_gives_a_suggestion(capsys: Captured, typed: str, meant: str) -> None:
    error, hint = usage(capsys, *typed.split())
    assert error.startswith("error: no ")
    assert hint == f"hint: did you mean `{meant}`?"


@pytest.mark.parametrize("typed", ["frobnicate", "model frobnicate"])
def test_what_is_like_no_command_points_to_the_help(capsys: Captured, typed: str) -> None:
    group = " ".join(["rbee", *typed.split()[:-1]])
    assert usage(capsys, *typed.split()) == [
        "error: no command `frobnicate`",
        f"hint: `{group} --help` shows how",
    ]


@pytest.mark.parametrize(
    ("typed", "error"),
    [
        ("run m hi --timeout soon", "invalid value for `--timeout`: a duration is like"),
        ("run m hi -t warm", "`warm` is not a number"),
        ("run m hi --seed 99999999999999999999", "is not from -9223372036854775807"),
        ("run m hi --max-tokens 4294967296", "4294967296 is not from 1 to 2147483647"),
        ("worker spawn m --cores x", "`x` is not a whole number"),
        ("worker spawn m --context 4294967296", "`--context`"),
        ("worker logs w --lines 4294967296", "`--lines`"),
        ("pull m --max-rate fast", "`--max-rate`: a rate is in bytes a second, like 500K"),
        ("pull m --weights q4", "`q4` is not one of int8, exact, f32"),
        ("queen logs -n 99999999999999999999", "`--lines`"),
        ("job watch j --from 99999999999999999999", "`--from`"),
        ("job list -n 0", "0 is not from 1 to 1000"),
    ],
)
def test_a_value_that_no_message_holds_is_wrong_usage(
    capsys: Captured, typed: str, error: str
) -> None:
    lines = usage(capsys, *typed.split())
    assert len(lines) == 2
    assert error in lines[0]
    assert lines[1].endswith("--help` shows how")


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_what_is_typed_wrongly_is_told_printably(capsys: Captured, text: str) -> None:
    for arguments in ((text,), ("run", "m", "hi", "-t", text), ("ps", text, text)):
        lines = usage(capsys, *arguments)
        assert [line.partition(":")[0] for line in lines] == ["error", "hint"]
        assert all(line.isprintable() for line in lines)


def test_a_terminal_without_unicode_is_no_reason_to_crash(tmp_path: Path) -> None:
    code = "import sys; from rbee_keeper.__main__ import main; sys.argv[1:] = ['mödel ✓']; main()"
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        env={**os.environ, "PYTHONIOENCODING": "ascii:strict", "RBEE_HOME": str(tmp_path)},
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr.startswith(b"error: no command `m?del ?`")


def test_an_interrupt_is_130(monkeypatch: pytest.MonkeyPatch) -> None:
    class Interrupted(io.StringIO):
        def write(self, text: str, /) -> int:
            raise KeyboardInterrupt

    monkeypatch.setattr(sys, "stdout", Interrupted())
    assert run(["--version"]) == 130
