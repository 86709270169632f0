"""What this process may use of its machine: cores and memory, within the limits of a container.

The kernel tells everybody the whole machine. A container that was given two of its 64 cores would
start 64 threads, which take turns, and admit models until it is killed. Limits are those of control
groups, version 2, of this process and all groups around it.
"""

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil

GROUPS = Path("/sys/fs/cgroup")
OWN_GROUP = Path("/proc/self/cgroup")
VERSION_2 = "0::/"
UNLIMITED = "max"


@dataclass(frozen=True, slots=True)
class Memory:
    """Memory in bytes; `free_bytes` with what could be freed at once."""

    total_bytes: int
    free_bytes: int


def usable_cores() -> int:
    """Return how many threads can compute at once: at least 1.

    Threads beyond physical cores, or beyond those this process may run on, halve the speed.
    """
    physical = psutil.cpu_count(logical=False) or psutil.cpu_count() or 1
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else physical
    return max(1, min(physical, allowed, *_core_limits(_own_groups())))


def usable_memory() -> Memory:
    """Return the memory that there is, and what is free of it."""
    machine = psutil.virtual_memory()
    limits = [Memory(machine.total, machine.available), *_memory_limits(_own_groups())]
    return Memory(min(each.total_bytes for each in limits), min(each.free_bytes for each in limits))


def _own_groups() -> list[Path]:
    with contextlib.suppress(OSError):
        for line in OWN_GROUP.read_text().splitlines():
            if line.startswith(VERSION_2):
                own = GROUPS / line.removeprefix(VERSION_2)
                return [own, *(each for each in own.parents if each.is_relative_to(GROUPS))]
    return []


def _core_limits(groups: list[Path]) -> Iterator[int]:
    for group in groups:
        with contextlib.suppress(OSError, ValueError):
            quota, period = (group / "cpu.max").read_text().split()
            if quota != UNLIMITED:
                yield int(quota) // int(period)


def _memory_limits(groups: list[Path]) -> Iterator[Memory]:
    for group in groups:
        with contextlib.suppress(OSError, ValueError):
            total_bytes = int((group / "memory.max").read_text())  # `max` is no number
            used_bytes = int((group / "memory.current").read_text()) - _freeable_bytes(group)
            yield Memory(total_bytes, max(0, total_bytes - used_bytes))


def _freeable_bytes(group: Path) -> int:
    for line in (group / "memory.stat").read_text().splitlines():
        name, _, value = line.partition(" ")
        if name == "inactive_file":  # pages of files, which are dropped when memory runs short
            return int(value)
    return 0
