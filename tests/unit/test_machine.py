import os
from pathlib import Path

import psutil
import pytest

from rbee_shared import machine
from rbee_shared.machine import Memory, usable_cores, usable_memory

MIB = 2**20


def _eight(*, logical: bool) -> int:
    return 8


def _eight_of_them(_: int) -> set[int]:
    return set(range(8))


def contained(folder: Path, patch: pytest.MonkeyPatch, own: str = "0::/slice/box\n") -> Path:
    """Put this process into a group; return the group's folder, without limits."""
    group = folder / "slice" / "box"
    group.mkdir(parents=True)
    (folder / "own").write_text(f"5:memory:/old\n{own}")
    patch.setattr(machine, "GROUPS", folder)
    patch.setattr(machine, "OWN_GROUP", folder / "own")
    patch.setattr(psutil, "cpu_count", _eight)
    patch.setattr(os, "sched_getaffinity", _eight_of_them, raising=False)
    return group


def limit_memory(group: Path, limit: str, used: int, freeable: int) -> None:
    (group / "memory.max").write_text(f"{limit}\n")
    (group / "memory.current").write_text(f"{used}\n")
    (group / "memory.stat").write_text(f"anon 5\ninactive_file {freeable}\nactive_file 7\n")


def test_without_limits_it_is_the_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    group = contained(tmp_path, monkeypatch)
    assert usable_cores() == 8
    (group / "cpu.max").write_text("max 100000\n")
    limit_memory(group, "max", 1, 0)
    assert usable_cores() == 8
    assert usable_memory().total_bytes == psutil.virtual_memory().total


@pytest.mark.parametrize(
    ("quota", "cores"), [("200000 100000", 2), ("350000 100000", 3), ("50000 100000", 1)]
)
def test_a_container_has_the_cores_of_its_quota(
    quota: str, cores: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (contained(tmp_path, monkeypatch) / "cpu.max").write_text(f"{quota}\n")
    assert usable_cores() == cores


def test_the_tightest_limit_around_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    group = contained(tmp_path, monkeypatch)
    (group / "cpu.max").write_text("400000 100000\n")
    (group.parent / "cpu.max").write_text("300000 100000\n")
    assert usable_cores() == 3
    limit_memory(group, str(64 * MIB), 20 * MIB, 0)
    limit_memory(group.parent, str(100 * MIB), 90 * MIB, 0)
    assert usable_memory() == Memory(64 * MIB, 10 * MIB)


def test_pages_of_files_are_as_good_as_free(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    group = contained(tmp_path, monkeypatch)
    limit_memory(group, str(64 * MIB), 60 * MIB, 50 * MIB)
    assert usable_memory() == Memory(64 * MIB, 54 * MIB)


@pytest.mark.parametrize("own", ["", "0::\n", "0::/../outside\n"])
def test_a_group_that_cannot_be_seen_limits_nothing(
    own: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    contained(tmp_path, monkeypatch, own)
    assert usable_cores() == 8
    assert usable_memory().free_bytes > 0


def test_files_that_make_no_sense_limit_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    group = contained(tmp_path, monkeypatch)
    (group / "cpu.max").write_text("odd\n")
    (group / "memory.max").write_text("1000\n")
    assert usable_cores() == 8
    assert usable_memory().total_bytes == psutil.virtual_memory().total
