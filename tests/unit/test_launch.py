import asyncio
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from rbee_shared.errors import NotFoundError
from rbee_shared.jobs.log import JobLog
from rbee_shared.lifecycle import launch, lock
from rbee_shared.lifecycle.launch import StartFailedError
from rbee_shared.lifecycle.lock import Holder
from rbee_shared.narration.context import JOB, JobContext
from rbee_shared.narration.event import Narration
from rbee_shared.narration.line import to_json

DAEMON = """
import os, pathlib, signal, sys, time
from rbee_shared.lifecycle import lock
from rbee_shared.lifecycle.ready import Ready, announce
stubborn = "stubborn" in sys.argv
signal.signal(signal.SIGTERM, signal.SIG_IGN if stubborn else lambda *_: sys.exit(0))
with lock.held(pathlib.Path(sys.argv[1]), "tried") as held:
    held.publish(address="unix:/x", version="1")
    print('[tried     ] start          : starting up', flush=True)
    announce(Ready(address="unix:/x", pid=os.getpid()))
    while True: time.sleep(60)
"""


class Tried:
    """A daemon that a test writes and launches."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.log_file = folder / "tried.log"
        self.lock_file = folder / "tried.lock"
        self.told = JobLog()

    async def launch(self, source: str, *arguments: str) -> Holder:
        (self.folder / "tried.py").write_text(source)
        JOB.set(JobContext("j-1", story=self.told))
        ready = await launch.launch(
            "tried", [str(self.lock_file), *arguments], name="tried", log_file=self.log_file
        )
        holder = lock.holder_of(self.lock_file)
        assert holder is not None
        assert (ready.address, ready.pid) == ("unix:/x", holder.pid)
        return holder

    def humans(self) -> list[str]:
        return [event.narration.human for event in self.told.read(0)]


@pytest.fixture
async def tried(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Tried:
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    return Tried(tmp_path)


async def test_a_daemon_is_launched_told_of_and_stopped(tried: Tried) -> None:
    tried.log_file.write_text("from an earlier life\n")
    holder = await tried.launch(DAEMON)
    assert tried.humans() == ["starting up"]
    assert lock.is_held(tried.lock_file)
    assert await launch.stop(holder) is False
    assert not lock.is_held(tried.lock_file)
    assert await launch.stop(holder) is False


async def test_a_daemon_that_will_not_end_is_made_to(tried: Tried) -> None:
    holder = await tried.launch(DAEMON, "stubborn")
    assert await launch.stop(holder, grace_s=0.05) is True
    assert not lock.is_held(tried.lock_file)


async def test_a_daemon_s_own_error_survives_whatever_it_wrote_before(tried: Tried) -> None:
    source = """
import sys
from rbee_shared.errors import ModelNotFoundError
from rbee_shared.lifecycle import failure
sys.stdout.write("x" * 300_000)
for n in range(3000): print("line", n, "-" * 100)
failure.write(ModelNotFoundError("tiny"))
sys.exit(1)
"""
    with pytest.raises(NotFoundError) as error:
        await tried.launch(source)
    assert (error.value.reason, str(error.value)) == (
        "MODEL_NOT_FOUND",
        "no model `tiny` on this hive",
    )


async def test_a_daemon_that_dies_without_a_word_is_told_of(tried: Tried) -> None:
    with pytest.raises(StartFailedError, match="with code 3 before it was ready: oh dear"):
        await tried.launch("import os; print('oh dear', end='', flush=True); os._exit(3)")
    assert tried.humans() == ["oh dear"]


async def test_a_daemon_that_says_nothing_is_given_up(
    tried: Tried, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(launch, "START_TIMEOUT_S", 0.2)
    pid_file = tried.folder / "pid"
    source = f"""
import os, pathlib, time
pathlib.Path({str(pid_file)!r}).write_text(str(os.getpid()))
while True: time.sleep(60)
"""
    with pytest.raises(StartFailedError, match="was not ready after"):
        await tried.launch(source)
    if pid_file.exists():  # it may have been too slow even for that
        await gone(int(pid_file.read_text()))


async def gone(pid: int) -> None:
    try:
        await asyncio.to_thread(psutil.Process(pid).wait, 5)
    except psutil.NoSuchProcess:
        return


async def test_a_failure_that_does_not_end_its_process_blocks_nobody(
    tried: Tried, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(launch, "START_TIMEOUT_S", 1.0)
    source = """
import time
from rbee_shared.errors import NotFoundError
from rbee_shared.lifecycle import failure
failure.write(NotFoundError("x"))
while True: time.sleep(60)
"""
    ticks = 0

    async def tick() -> None:
        nonlocal ticks
        while True:
            await asyncio.sleep(0.01)
            ticks += 1

    ticking = asyncio.create_task(tick())
    with pytest.raises(StartFailedError):
        await tried.launch(source)
    ticking.cancel()
    assert ticks > 10


@pytest.fixture
def foreign() -> Iterator[subprocess.Popen[bytes]]:
    command = [sys.executable, "-c", "import sys; sys.stdin.read()"]
    with subprocess.Popen(command, stdin=subprocess.PIPE) as process:
        yield process
        process.communicate(timeout=5)
    assert process.returncode == 0


async def test_a_foreign_process_is_never_signalled(
    tmp_path: Path, foreign: subprocess.Popen[bytes]
) -> None:
    lock_file = tmp_path / "tried.lock"
    stale = {"pid": foreign.pid, "start_time_s": 1.0, "address": "unix:/x", "version": "1"}
    lock_file.write_text(json.dumps(stale))
    assert lock.holder_of(lock_file) is None
    holder = Holder(foreign.pid, 1.0, "unix:/x", "1")
    assert await launch.stop(holder, grace_s=0.05) is False
    with lock.held(lock_file, "tried"):  # somebody else's by now
        assert await launch.stop(holder, grace_s=0.05) is False


async def test_a_log_file_too_large_is_put_aside(
    tried: Tried, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(launch, "LOG_BYTES_MAX", 100)
    tried.log_file.write_text("x" * 101)
    narration = Narration("tried", "start", "short", 1.0)
    with pytest.raises(StartFailedError):
        await tried.launch(f"print({to_json(narration)[:90]!r})")
    assert (tried.folder / "tried.log.1").stat().st_size == 101
    assert tried.log_file.stat().st_size < 100
