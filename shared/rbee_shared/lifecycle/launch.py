"""Starting a daemon that outlives its starter, and stopping one. For queen and local hive.

The daemon writes to a log file; its starter reads what is new there until the ready line, and
tells every line under its own context. So a start-up is seen live, and nothing is lost after it.
"""

import asyncio
import os
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

import psutil

from rbee_shared.errors import FailedPreconditionError, RbeeError, UnavailableError
from rbee_shared.lifecycle import failure, ready
from rbee_shared.lifecycle.capture import LineSplitter
from rbee_shared.lifecycle.lock import Holder, process_of
from rbee_shared.lifecycle.ready import Ready
from rbee_shared.limits import LOG_BYTES_MAX, START_TIMEOUT_S, STOP_GRACE_S
from rbee_shared.narration import line
from rbee_shared.narration.event import Level
from rbee_shared.narration.narrate import emit

POLL_S = 0.02
KILL_S_MAX = 5.0
LAST_LINES = 5


class StartFailedError(UnavailableError):
    """A process ended, or said nothing, before it was ready."""

    reason = "START_FAILED"


async def launch(module: str, arguments: Sequence[str], *, name: str, log_file: Path) -> Ready:
    """Start `python -m module` detached and wait until it is ready, telling what it tells.

    Raises:
        RbeeError: what the daemon itself said.
        StartFailedError: it ended without a word, or took longer than `START_TIMEOUT_S`.
    """
    process, begin = _spawn([sys.executable, "-m", module, *arguments], log_file)
    try:
        async with asyncio.timeout(START_TIMEOUT_S):
            return await _until_ready(process, name, log_file, begin)
    except TimeoutError:
        process.kill()
        raise StartFailedError(
            f"the {name} was not ready after {START_TIMEOUT_S:.0f} s",
            hint=f"`{log_file}` has what it wrote",
        ) from None


async def stop(holder: Holder, *, grace_s: float = STOP_GRACE_S) -> bool:
    """Ask a daemon to end, then make it. Return whether it had to be made.

    Its pid is signalled only while it is the process that took the lock.

    Raises:
        FailedPreconditionError: not even the kernel can end it.
    """
    if process := process_of(holder):
        _signal(process, kill=False)
    try:
        async with asyncio.timeout(grace_s):
            await _until_gone(holder)
            return False
    except TimeoutError:
        if process := process_of(holder):
            _signal(process, kill=True)
    try:
        async with asyncio.timeout(KILL_S_MAX):
            await _until_gone(holder)
    except TimeoutError:
        raise FailedPreconditionError(
            f"process {holder.pid} does not end", reason="PROCESS_STUCK"
        ) from None
    return True


async def _until_gone(holder: Holder) -> None:
    # its lock goes with its process, and may be somebody else's by now; it is not our child, so
    # there is no event to wait for
    while True:
        if process_of(holder) is None:
            return
        await asyncio.sleep(POLL_S)


def _spawn(command: Sequence[str], log_file: Path) -> tuple[subprocess.Popen[bytes], int]:
    if log_file.exists() and log_file.stat().st_size > LOG_BYTES_MAX:
        log_file.replace(log_file.with_suffix(".log.1"))
    with log_file.open("ab") as log:
        begin = log.tell()
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            env={
                **os.environ,
                line.FORMAT_VARIABLE: line.JSON_FORMAT,
                "GRPC_ENABLE_FORK_SUPPORT": "0",  # children are exec'd; the handlers only warn
            },
        )
    # it may end long after its launch: somebody has to take its exit code from the kernel
    threading.Thread(target=process.wait, name=f"end of {process.pid}", daemon=True).start()
    return process, begin


def _signal(process: psutil.Process, *, kill: bool) -> None:
    try:
        process.kill() if kill else process.terminate()
    except psutil.NoSuchProcess:
        return  # it ended in between, which is what was wanted


async def _until_ready(
    process: subprocess.Popen[bytes], name: str, log_file: Path, begin: int
) -> Ready:
    said = _Tail(log_file, begin)
    while True:
        ended = process.poll()
        for text in said.new_lines(last=ended is not None):
            # two that start at once write to one file: only its own end counts
            if (found := ready.parse(text)) and found.pid == process.pid:
                return found
            if error := failure.parse(text, pid=process.pid):
                await _until_ended(process)
                raise error
            emit(line.parse(text, actor=name))
        if ended is not None:
            raise _silent_end(name, ended, said.last)
        await asyncio.sleep(POLL_S)


async def _until_ended(process: subprocess.Popen[bytes]) -> None:
    while True:  # a thread waits for it, which wakes nobody here
        if process.poll() is not None:
            return
        await asyncio.sleep(POLL_S)


def _silent_end(name: str, exit_code: int, last: Sequence[str]) -> RbeeError:
    why = f": {last[-1]}" if last else ""
    return StartFailedError(
        f"the {name} ended with code {exit_code} before it was ready{why}",
        hint=f"`rbee {name} logs` has what it wrote",
    )


class _Tail:
    """What is new in a file that somebody else appends to, in lines."""

    def __init__(self, file: Path, begin: int) -> None:
        self._file = file
        self._position = begin
        self._splitter = LineSplitter()
        self.last: list[str] = []

    def new_lines(self, *, last: bool) -> list[str]:
        with self._file.open("rb") as opened:
            opened.seek(self._position)
            data = opened.read(LOG_BYTES_MAX)
        self._position += len(data)
        lines = self._splitter.feed(data)
        if last:
            lines += self._splitter.end()
        plain = [each for each in lines if line.parse(each, actor="").level == Level.DEBUG]
        self.last = [*self.last, *plain][-LAST_LINES:]
        return lines
