"""The lock that a daemon holds while it lives: its liveness, whatever pid files and sockets say.

The kernel drops a flock with the process, however that ends, so a stale file never stops a start.
A process is signalled only if its pid still has the start time that it wrote down: a pid that was
given to somebody else since is left alone. That time is counted from the machine's boot, since its
clock may be set while a daemon runs.
"""

import fcntl
import json
import os
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from time import sleep

import psutil

from rbee_shared.errors import AlreadyExistsError

START_TIME_TOLERANCE_S = 0.05
TRIES_MAX = 10  # somebody who only looks whether it is held has it for an instant
TRY_INTERVAL_S = 0.01


@dataclass(frozen=True, slots=True)
class Holder:
    """Who holds a lock. `start_time_s` is seconds from boot to the process's start."""

    pid: int
    start_time_s: float
    address: str
    version: str


class AlreadyRunningError(AlreadyExistsError):
    """A daemon of this kind runs already for this user."""

    reason = "ALREADY_RUNNING"

    def __init__(self, name: str, holder: Holder | None) -> None:
        who = f" (pid {holder.pid}, {holder.address})" if holder else ""
        super().__init__(
            f"the {name} runs already{who}", hint=f"`rbee {name} stop` ends it; or just use it"
        )


class Lock:
    """A lock that is held. `publish` tells others how to reach the holder."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def publish(self, *, address: str, version: str) -> None:
        """Write down who holds the lock and where it listens."""
        holder = Holder(os.getpid(), _start_time_s(psutil.Process()), address, version)
        os.ftruncate(self._descriptor, 0)
        os.pwrite(self._descriptor, json.dumps(asdict(holder)).encode(), 0)


@contextmanager
def held(file: Path, name: str) -> Generator[Lock]:
    """Hold the lock for the block.

    Raises:
        AlreadyRunningError: another process holds it.
    """
    descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        if not _taken(descriptor):
            raise AlreadyRunningError(name, _read(file))
        os.ftruncate(descriptor, 0)
        yield Lock(descriptor)
    finally:
        os.close(descriptor)


def is_held(file: Path) -> bool:
    """Whether a living process holds the lock."""
    try:
        descriptor = os.open(file, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def holder_of(file: Path) -> Holder | None:
    """Return who holds the lock; None if nobody does, or if it has not said so yet."""
    return _read(file) if is_held(file) else None


def process_of(holder: Holder) -> psutil.Process | None:
    """Return the holder's process; None if it is gone or the pid is another's now."""
    try:
        process = psutil.Process(holder.pid)
        same = abs(_start_time_s(process) - holder.start_time_s) <= START_TIME_TOLERANCE_S
        ended = process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return None
    return process if same and not ended else None


def _start_time_s(process: psutil.Process) -> float:
    return process.create_time() - psutil.boot_time()


def _taken(descriptor: int) -> bool:
    for _ in range(TRIES_MAX):
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            sleep(TRY_INTERVAL_S)
        else:
            return True
    return False


def _read(file: Path) -> Holder | None:
    try:
        values = json.loads(file.read_text())
        holder = Holder(
            int(values["pid"]),
            float(values["start_time_s"]),
            str(values["address"]),
            str(values["version"]),
        )
    except (OSError, ValueError, KeyError, TypeError, OverflowError, RecursionError):
        return None
    return holder if holder.pid > 0 else None
