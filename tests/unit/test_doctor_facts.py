"""What the doctor reads: of the linker's words, of folders, and of this machine."""

import asyncio
import os
from pathlib import Path

import pytest

from rbee_shared import doctor
from rbee_shared.doctor import MachineCheck, examined, parse
from rbee_worker.doctor.cuda import linked_in, read_libraries
from rbee_worker.doctor.machine import read_machine

LDD = """\
	linux-vdso.so.1 (0x00007f4fc99b4000)
	libcublasLt.so.13 => not found
	libcurand.so.10 => not found
	libcudart.so.13 => /usr/local/cuda-13.0/lib/libcudart.so.13 (0x00007f4fb4800000)
	libcuda.so.1 => not found
	libstdc++.so.6 => /lib/x86_64-linux-gnu/libstdc++.so.6 (0x00007f4fb4400000)
	/lib64/ld-linux-x86-64.so.2 (0x00007f4fc99b6000)
"""


def test_of_what_a_provider_is_linked_with_the_libraries_of_cuda_count() -> None:
    assert linked_in(LDD) == [
        ("libcublasLt.so.13", ""),
        ("libcurand.so.10", ""),
        ("libcudart.so.13", "/usr/local/cuda-13.0/lib"),
    ]


def test_libraries_are_found_where_nvidias_packages_put_them(tmp_path: Path) -> None:
    folder = tmp_path / "nvidia" / "cudnn" / "lib"
    folder.mkdir(parents=True)
    (folder / "libcudnn.so.9").touch()
    found = {each.name: each for each in read_libraries(tmp_path, (13, 0))}
    assert found["libcudnn.so.9"].place == "nvidia/cudnn/lib"
    assert not any(each.needed for each in found.values()), "there is no provider to be linked"
    assert read_libraries(tmp_path, None) == ()


def test_this_machine_has_facts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RBEE_HOME", str(tmp_path / "not" / "there"))
    machine = read_machine()
    assert machine.processor
    assert machine.cores >= 1
    assert 0 < machine.free_memory_bytes <= machine.memory_bytes
    assert machine.free_disk_bytes > 0


def test_checks_are_read_among_whatever_else_a_child_writes() -> None:
    good = '{"check": {"name": "disk", "passed": true, "detail": "full", "hint": "make room"}}'
    odd = ['{"check": 1}', '{"check"', '{"check": {"name": "a"}}', "Failed to load x", "[]"]
    [found] = parse([*odd, good])
    assert found == MachineCheck("disk", passed=True, detail="full", hint="make room")
    assert found.state == "warn"


async def test_how_a_child_ends_is_one_of_the_things_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    line = '{"check": {"name": "disk", "passed": true, "detail": "much", "hint": ""}}'
    (tmp_path / "dies.py").write_text(f"import os\nprint({line!r}, flush=True)\nos.abort()\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setattr(doctor, "MODULE", "dies")
    first, last = await examined()
    assert (first.name, first.state) == ("disk", "ok")
    assert last.state == "fail"
    assert last.detail.startswith("the doctor ended by SIGABRT")


async def test_a_child_that_hangs_is_ended_and_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    os.mkfifo(tmp_path / "gate")
    (tmp_path / "hangs.py").write_text(f"open({str(tmp_path / 'gate')!r})\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setattr(doctor, "MODULE", "hangs")
    async with asyncio.timeout(10):
        [found] = await examined(timeout_s=0.01)
    assert found.state == "fail"
    assert found.detail == "it did not end within 0.01 s"
