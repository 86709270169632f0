"""A run that finds no memory fails with an error that says so; the session goes on."""

import resource
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import psutil
import pytest

from rbee_worker.compute_error import ComputeError, OutOfMemoryError, compute_error
from rbee_worker.description import ModelDescription
from rbee_worker.device import Device
from rbee_worker.session import Session
from tests.tiny_llama import TinyLlama

WIDE = TinyLlama(feed_forward=32_768, layers=1, metadata={"llama.context_length": 1_200})
TOKENS = 1_000  # each of half a megabyte of activations: more than this process has left over
SPARE_BYTES = 8 * 2**20
SAID = (
    "[ONNXRuntimeError] : 6 : RUNTIME_EXCEPTION : bfc_arena.cc:376: Failed to allocate memory for",
    "std::bad_alloc",
    "CUDA failure 2: out of memory ; GPU=0",
    "CUBLAS failure 3: CUBLAS_STATUS_ALLOC_FAILED",
)


@contextmanager
def short_of_memory() -> Generator[None]:
    before = resource.getrlimit(resource.RLIMIT_AS)
    most = psutil.Process().memory_info().vms + SPARE_BYTES
    resource.setrlimit(resource.RLIMIT_AS, (most, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)


@pytest.mark.skipif(sys.platform != "linux", reason="no limit of memory that is kept")
def test_a_session_outlives_a_run_without_memory(tmp_path: Path) -> None:
    folder = tmp_path / "own"
    folder.mkdir()
    command = [sys.executable, "-m", "rbee_worker.convert", WIDE.write(tmp_path / "wide.gguf")]
    # in a process of its own: what it computed with would be memory that is free here
    subprocess.run([*command, folder], check=True, stdout=subprocess.DEVNULL)
    description, cpu = ModelDescription.read(folder), Device("cpu", 0)
    session = Session(folder, description, device=cpu, threads=1, max_len=1_200, slots=2)
    expected = session.prefill(1, [5, 6, 7], 0).copy()
    with short_of_memory():
        with pytest.raises(OutOfMemoryError) as caught:
            session.prefill(0, [5] * TOKENS, 0)
        np.testing.assert_array_equal(session.prefill(1, [5, 6, 7], 0), expected)
    assert caught.value.reason == "OUT_OF_MEMORY"
    assert "shorter prompt" in caught.value.hint
    session.prefill(0, [5] * TOKENS, 0)
    np.testing.assert_array_equal(session.prefill(1, [5, 6, 7], 0), expected)


@pytest.mark.parametrize("said", SAID)
def test_who_had_no_memory_is_known_by_what_they_say(said: str) -> None:
    assert isinstance(compute_error(RuntimeError(said)), OutOfMemoryError)


def test_numpy_without_memory_says_as_much() -> None:
    assert isinstance(compute_error(MemoryError("Unable to allocate 9 GiB")), OutOfMemoryError)


def test_another_fault_of_a_run_is_told_by_its_first_line() -> None:
    found = compute_error(RuntimeError("Invalid shape\nand pages of it"))
    assert isinstance(found, ComputeError)
    assert str(found) == "the model could not be run: Invalid shape"
