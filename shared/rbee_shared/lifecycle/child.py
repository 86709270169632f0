"""A child process whose every line is captured while it runs; it never outlives its parent.

Lines are read without a context and kept, so many. Whoever waits for the child, in whatever job,
tells them as its own: a worker's start-up, which has no job, appears in the job that spawned it. A
child that floods, hangs or dies blocks nobody: old lines fall off the end. Its standard input is
a pipe that nobody writes to: it ends when the parent does, and that is how a child learns of it.
"""

import asyncio
import os
import signal
import subprocess
import sys
from collections import deque
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from time import time

from rbee_shared.errors import RbeeError
from rbee_shared.lifecycle import failure, ready
from rbee_shared.lifecycle.capture import STDERR, Capture
from rbee_shared.lifecycle.launch import StartFailedError
from rbee_shared.lifecycle.ready import Ready
from rbee_shared.limits import LINES_KEPT_MAX, STOP_GRACE_S
from rbee_shared.narration import line
from rbee_shared.narration.event import Level, Narration
from rbee_shared.narration.narrate import emit
from rbee_shared.narration.redact import clean, clean_text


class Child:
    """One child process. Made by `running_child`, which runs it with `capture` as its protocol."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._kept: deque[Narration] = deque(maxlen=LINES_KEPT_MAX)
        self._count = 0
        self._changed = asyncio.Event()
        self._ready: Ready | None = None
        self._failure: RbeeError | None = None
        self.capture = Capture(self._hear, self._wake)
        self.last_words = ""

    @property
    def pid(self) -> int:
        """Its process id."""
        return self.capture.transport.get_pid()

    @property
    def exit_code(self) -> int | None:
        """How it ended; None while it runs. Negative: the signal that ended it."""
        return self.capture.transport.get_returncode()

    def lines(self) -> list[str]:
        """Return what it wrote, the newest `LINES_KEPT_MAX` lines, for people."""
        return [
            each.human if each.action in ("output", "stderr") else line.to_human(each)
            for each in self._kept
        ]

    async def ready(self) -> Ready:
        """Tell what the child tells, until it is ready.

        Raises:
            RbeeError: what the child itself said.
            StartFailedError: it ended without a word.
        """
        told = 0
        while True:
            told = self._tell_since(told)
            if self._ready is not None:
                return self._ready
            if self.capture.drained.is_set():
                raise self.error()
            await self._changed.wait()

    async def done(self) -> None:
        """Tell what the child tells, until it has ended well.

        Raises:
            RbeeError: what the child itself said.
            StartFailedError: it ended badly without a word.
        """
        told = 0
        while True:
            told = self._tell_since(told)
            if self.capture.drained.is_set():
                break
            await self._changed.wait()
        if self.exit_code != 0:
            raise self.error()

    async def ended(self) -> int:
        """Wait for its end and return the exit code."""
        await self.capture.exited.wait()
        return self.exit_code or 0

    def error(self) -> RbeeError:
        """Return why it ended: what it said itself, else its exit code and last words."""
        if self._failure is not None:
            return self._failure
        why = f": {self.last_words}" if self.last_words else ""
        return StartFailedError(
            f"{self._name} ended {_how(self.exit_code or 0)}{why}", reason="PROCESS_ENDED"
        )

    async def stop(self, *, grace_s: float = STOP_GRACE_S) -> None:
        """Ask it to end, then make it. Idempotent."""
        self._signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(grace_s):
                await self.capture.exited.wait()
        except TimeoutError:
            self._signal(signal.SIGKILL)
            await self.capture.exited.wait()

    def kill(self) -> None:
        """End it now. Idempotent."""
        self._signal(signal.SIGKILL)

    def _signal(self, number: signal.Signals) -> None:
        if self.exit_code is None:
            with suppress(ProcessLookupError):  # it ended in between, which is what was wanted
                self.capture.transport.send_signal(number)

    def _hear(self, fd: int, text: str) -> None:
        if fd == STDERR:
            self.last_words = clean_text(text) or self.last_words
            self._keep(Narration(self._name, "stderr", text, time(), level=Level.DEBUG))
        elif found := ready.parse(text):
            self._ready = found
            self._wake()
        elif error := failure.parse(text, pid=self.pid):
            self._failure = error
        else:
            self._keep(line.parse(text, actor=self._name))

    def _keep(self, narration: Narration) -> None:
        self._kept.append(clean(narration))
        self._count += 1
        self._wake()

    def _wake(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    def _tell_since(self, told: int) -> int:
        new = min(self._count - told, len(self._kept))
        if missed := self._count - told - new:
            human = f"{missed} earlier lines are left out"
            emit(Narration(self._name, "output", human, time(), level=Level.DEBUG))
        for narration in list(self._kept)[len(self._kept) - new :]:
            emit(narration)
        return self._count


@asynccontextmanager
async def running_child(
    module: str,
    arguments: Sequence[str],
    *,
    name: str,
    environment: Mapping[str, str] | None = None,
) -> AsyncGenerator[Child]:
    """Run `python -m module` for the block; it is asked to end, then made to, on exit.

    Raises:
        OSError: no process can be started.
    """
    child = Child(name)
    transport, _ = await asyncio.get_running_loop().subprocess_exec(
        lambda: child.capture,
        sys.executable,
        "-m",
        module,
        *arguments,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,  # a Ctrl-C at a terminal is the keeper's to handle
        env={**os.environ, **(environment or {}), line.FORMAT_VARIABLE: line.JSON_FORMAT},
    )
    try:
        try:
            yield child
        finally:
            await child.stop()
            await child.capture.drained.wait()
    finally:
        transport.close()  # a second cancel came while it was stopped: this kills it


def _how(exit_code: int) -> str:
    if exit_code >= 0:
        return f"with code {exit_code}"
    names = {number.value: number.name for number in signal.Signals}
    return f"by {names.get(-exit_code, f'signal {-exit_code}')}"
