"""What a child process writes, as lines, and its end: bounded, whatever it does.

Lines come as the loop reads the pipes, so no task has to run for them, and a child that floods is
slowed down by its own pipe. A pipe can stay open after the child's end, in a process that the child
left behind: the last lines are waited for no longer than `DRAIN_S_MAX`.
"""

import asyncio
from collections.abc import Callable
from typing import cast

from rbee_shared.limits import DRAIN_S_MAX, LINE_BYTES_MAX

STDOUT, STDERR = 1, 2


class LineSplitter:
    """Chunks of bytes in, lines out, without their ends.

    A line longer than `LINE_BYTES_MAX` is cut and the rest of it is dropped; invalid UTF-8 is
    replaced; empty lines are left out.
    """

    def __init__(self) -> None:
        self._rest = b""
        self._cut = False  # the line that goes on was already given, as far as it fits

    def feed(self, chunk: bytes) -> list[str]:
        """Return the lines that this chunk completes, or makes too long."""
        first, *others = chunk.split(b"\n")
        whole: list[bytes] = []
        if others:
            whole = [b"" if self._cut else self._rest + first, *others[:-1]]
            self._rest, self._cut = others[-1], False
        elif not self._cut:
            self._rest += first
        if len(self._rest) > LINE_BYTES_MAX:
            whole.append(self._rest)
            self._rest, self._cut = b"", True
        return [_text(each) for each in whole if each.strip()]

    def end(self) -> list[str]:
        """Return the last line, if it has no end."""
        rest, self._rest = self._rest, b""
        return [_text(rest)] if rest.strip() else []


class Capture(asyncio.SubprocessProtocol):
    """The protocol of one child: calls `heard` with each line and its pipe, then `settled`."""

    transport: asyncio.SubprocessTransport

    def __init__(self, heard: Callable[[int, str], None], settled: Callable[[], None]) -> None:
        self._heard = heard
        self._settled = settled
        self._open = {STDOUT: LineSplitter(), STDERR: LineSplitter()}
        self.exited = asyncio.Event()
        self.drained = asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the way to signal it."""
        self.transport = cast("asyncio.SubprocessTransport", transport)

    def pipe_data_received(self, fd: int, data: bytes) -> None:
        """Pass on the lines that this completes; nothing once it counts as drained."""
        if fd in self._open:
            for text in self._open[fd].feed(data):
                self._heard(fd, text)

    def pipe_connection_lost(self, fd: int, exc: Exception | None) -> None:
        """Pass on the last line of that pipe."""
        splitter = self._open.pop(fd, None)
        for text in splitter.end() if splitter is not None else ():
            self._heard(fd, text)
        self._settle()

    def process_exited(self) -> None:
        """Note its end; what it wrote before may still be on the way."""
        self.exited.set()
        asyncio.get_running_loop().call_later(DRAIN_S_MAX, self._give_up)
        self._settle()

    def _give_up(self) -> None:
        for fd in list(self._open):
            self.pipe_connection_lost(fd, None)

    def _settle(self) -> None:
        if self.exited.is_set() and not self._open and not self.drained.is_set():
            self.drained.set()
            self._settled()


def _text(line: bytes) -> str:
    return line[:LINE_BYTES_MAX].decode(errors="replace").rstrip("\r")
