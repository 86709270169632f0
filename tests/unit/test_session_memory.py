"""A run that finds no memory fails with an error that says so; the session goes on."""

import subprocess
import sys
from pathlib import Path

import pytest

from rbee_worker.compute_error import ComputeError, OutOfMemoryError, compute_error
from rbee_worker.convert.convert import convert
from tests.tiny_llama import TinyLlama

ROOT = Path(__file__).parents[2]
WIDE = TinyLlama(feed_forward=32_768, layers=1)  # half a megabyte of activations a token
SAID = (
    "[ONNXRuntimeError] : 6 : RUNTIME_EXCEPTION : bfc_arena.cc:376: Failed to allocate memory for",
    "std::bad_alloc",
    "CUDA failure 2: out of memory ; GPU=0",
    "CUBLAS failure 3: CUBLAS_STATUS_ALLOC_FAILED",
)


@pytest.mark.skipif(sys.platform != "linux", reason="no limit of memory that is kept")
def test_a_session_outlives_a_run_without_memory(tmp_path: Path) -> None:
    folder = tmp_path / "own"
    convert(WIDE.write(tmp_path / "wide.gguf"), folder)
    child = [sys.executable, "-m", "tests.scarce_session", folder]
    ended = subprocess.run(child, check=False, capture_output=True, text=True, cwd=ROOT)
    assert ended.returncode == 0, ended.stderr


@pytest.mark.parametrize("said", SAID)
def test_who_had_no_memory_is_known_by_what_they_say(said: str) -> None:
    assert isinstance(compute_error(RuntimeError(said)), OutOfMemoryError)


def test_numpy_without_memory_says_as_much() -> None:
    assert isinstance(compute_error(MemoryError("Unable to allocate 9 GiB")), OutOfMemoryError)


def test_another_fault_of_a_run_is_told_by_its_first_line() -> None:
    found = compute_error(RuntimeError("Invalid shape\nand pages of it"))
    assert isinstance(found, ComputeError)
    assert str(found) == "the model could not be run: Invalid shape"
