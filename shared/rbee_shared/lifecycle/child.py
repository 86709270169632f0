"""A child process whose every line is captured while it runs; it never outlives its parent.

Lines are read without a context and kept, so many. Whoever waits for the child, in whatever job,
tells them as its own: a worker's start-up, which has no job, appears in the job that spawned it. A
child that floods, hangs or dies blocks nobody: old lines fall off the end. Its standard input is
a pipe that nobody writes to: it ends when the parent does, and that is how a child learns of it.
"""

import asyncio
import os
import signal
import sys
from collections import deque
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager

from rbee_shared.errors import RbeeError
from rbee_shared.lifecycle import failure, ready
from rbee_shared.lifecycle.capture import lines_of
from rbee_shared.lifecycle.launch import StartFailedError
from rbee_shared.lifecycle.ready import Ready
from rbee_shared.limits import LINES_KEPT_MAX, STOP_GRACE_S
from rbee_shared.narration import line
from rbee_shared.narration.event import Level, Narration
from rbee_shared.narration.narrate import emit
from rbee_shared.narration.redact import clean_text


class Child:
    """One child process. Made by `running_child`."""

    def __init__(self, process: asyncio.subprocess.Process, name: str) -> None:
        self._process = process
        self._name = name
        self._kept: deque[Narration] = deque(maxlen=LINES_KEPT_MAX)
        self._count = 0
        self._changed = asyncio.Event()
        self._ready: Ready | None = None
        self._failure: RbeeError | None = None
        self.last_words = ""

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """How it ended; None while it runs. Negative: the signal that ended it."""
        return self._process.returncode

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
            if self.exit_code is not None and self._drained:
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
            if self.exit_code is not None and self._drained:
                break
            await self._changed.wait()
        if self.exit_code != 0:
            raise self.error()

    async def ended(self) -> int:
        """Wait for its end and return the exit code."""
        return await self._process.wait()

    def error(self) -> RbeeError:
        """Return why it ended: what it said itself, else its exit code and last words."""
        if self._failure is not None:
            return self._failure
        code = self.exit_code or 0
        how = f"by {signal.Signals(-code).name}" if code < 0 else f"with code {code}"
        why = f": {self.last_words}" if self.last_words else ""
        return StartFailedError(f"{self._name} ended {how}{why}", reason="PROCESS_ENDED")

    async def stop(self, *, grace_s: float = STOP_GRACE_S) -> None:
        """Ask it to end, then make it. Idempotent."""
        if self.exit_code is not None:
            return
        _signal(self._process, signal.SIGTERM)
        try:
            async with asyncio.timeout(grace_s):
                await self._process.wait()
        except TimeoutError:
            _signal(self._process, signal.SIGKILL)
            await self._process.wait()

    def kill(self) -> None:
        """End it now. Idempotent."""
        _signal(self._process, signal.SIGKILL)

    async def capture(self) -> None:
        """Read both pipes to their ends."""
        out, err = self._process.stdout, self._process.stderr
        assert out is not None
        assert err is not None
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._read_out(out), name=f"{self._name} stdout")
            tasks.create_task(self._read_err(err), name=f"{self._name} stderr")
        await self._process.wait()
        self._drained = True
        self._wake()

    _drained = False

    async def _read_out(self, stream: asyncio.StreamReader) -> None:
        async for text in lines_of(stream):
            if found := ready.parse(text):
                self._ready = found
                self._wake()
            elif error := failure.parse(text):
                self._failure = error
            else:
                self._keep(line.parse(text, actor=self._name))

    async def _read_err(self, stream: asyncio.StreamReader) -> None:
        async for text in lines_of(stream):
            self.last_words = clean_text(text) or self.last_words
            self._keep(Narration(self._name, "stderr", text, 0.0, level=Level.DEBUG))

    def _keep(self, narration: Narration) -> None:
        self._kept.append(narration)
        self._count += 1
        self._wake()

    def _wake(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    def _tell_since(self, told: int) -> int:
        new = min(self._count - told, len(self._kept))
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
    """Run `python -m module` for the block; it is asked to end, then made to, on exit."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        module,
        *arguments,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        start_new_session=True,  # a Ctrl-C at a terminal is the keeper's to handle
        env={**os.environ, **(environment or {}), line.FORMAT_VARIABLE: line.JSON_FORMAT},
    )
    child = Child(process, name)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(child.capture(), name=f"{name} output")
        try:
            yield child
        finally:
            await child.stop()


def _signal(process: asyncio.subprocess.Process, number: signal.Signals) -> None:
    if process.returncode is None:
        process.send_signal(number)
