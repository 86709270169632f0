"""The child process that renders a template: its life, its time, and what it may answer.

A template is a stranger's program, and no limit within a process holds against one: a single
operation of its language can compute for ever or ask for all memory. So it runs in a process that
has little, can be ended, and is started again for whoever comes next.
"""

import os
import signal
import subprocess
import sys
import threading
import weakref
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import IO, Any, cast

from rbee_shared.errors import InvalidArgumentError, UnavailableError
from rbee_worker.text.render.frames import (
    FAULT,
    READY,
    REFUSED,
    RENDERED_CHARS_MAX,
    TEXT,
    FrameTooLongError,
    framed,
    read_frame,
)

MODULE = "rbee_worker.text.render"
START_S_MAX = 20.0  # until its first word, before it has seen any template
ANSWER_S_MAX = 2.0
END_S_MAX = 1.0  # from a broken pipe to the exit code
FAULT_CHARS_MAX = 400
LENGTHS = {READY: 0, TEXT: RENDERED_CHARS_MAX, REFUSED: FAULT_CHARS_MAX, FAULT: FAULT_CHARS_MAX}
ENVIRONMENT = (  # what Python needs to start; no secrets, no settings
    "DYLD_LIBRARY_PATH",
    "LD_LIBRARY_PATH",
    "PATH",
    "PYTHONHOME",
    "PYTHONPATH",
    "SYSTEMROOT",
)


class RendererLostError(UnavailableError):
    """The process that renders chat templates cannot be started."""

    reason = "RENDERER_LOST"
    hint = "see that this machine has memory and processes left, then try again"


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of a template: one of TEXT, REFUSED and FAULT, and its words."""

    kind: str
    words: str


class Renderer:
    """One template in a process of its own. May be used by many threads; one is served at a time.

    The process ends with `close`, with this object, or with this process, whatever it computes.
    """

    def __init__(self, source: str) -> None:
        """Start the process and return before it is ready.

        Raises:
            RendererLostError: it cannot be started.
        """
        self._source = source
        self._lock = threading.Lock()
        self._is_compiled = False
        self._process = self._started()

    def compile(self) -> Answer:
        """Wait until the template is ready for use, or turns out not to be."""
        with self._lock:
            return self._compiled()

    def render(self, values: Mapping[str, Any]) -> Answer:
        """Return what the template makes of the values.

        Raises:
            InvalidArgumentError: they are too long, or no text.
            RendererLostError: the process ended, and no other can be started.
        """
        message = _message(values)
        with self._lock:
            answer = self._compiled()
            return self._asked(message) if answer.kind == TEXT else answer

    def close(self) -> None:
        """End the process, after the answer that it works on. Idempotent."""
        with self._lock:
            self._end()

    def _started(self) -> "subprocess.Popen[bytes]":
        try:
            process = subprocess.Popen(
                [sys.executable, "-m", MODULE],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,  # it could only tell what nobody may log
                env={name: os.environ[name] for name in ENVIRONMENT if name in os.environ},
                start_new_session=True,  # a Ctrl-C at a terminal is the keeper's to handle
            )
        except OSError as error:
            raise RendererLostError(f"no renderer can be started: {error.strerror}") from error
        self._end = weakref.finalize(self, _ended, process)
        self._is_ready = False
        return process

    def _compiled(self) -> Answer:
        if self._process.poll() is not None:
            self._end()
            self._process = self._started()
            self._is_compiled = False
        if self._is_compiled:
            return Answer(TEXT, "")
        self._wait_ready()
        answer = self._asked(_message({"template": self._source}))
        self._is_compiled = answer.kind == TEXT
        if not self._is_compiled:
            self._end()
        return answer

    def _wait_ready(self) -> None:
        said, _ = _exchanged(self._process, b"", START_S_MAX)
        if said is None or said.kind != READY:
            code = _exit_code(self._process)
            self._end()
            raise RendererLostError(f"the renderer did not start, it ended {code}")

    def _asked(self, message: bytes) -> Answer:
        answer, is_late = _exchanged(self._process, message, ANSWER_S_MAX)
        if is_late:
            answer = Answer(FAULT, f"it takes over {ANSWER_S_MAX:g} s")
        elif answer is None:
            answer = Answer(FAULT, f"its renderer ended {_exit_code(self._process)}")
        else:
            return answer
        self._end()
        return answer


def _message(values: Mapping[str, Any]) -> bytes:
    try:
        return framed(values)
    except FrameTooLongError as error:
        raise InvalidArgumentError(
            f"the conversation has {error}", reason="CONVERSATION_TOO_LONG"
        ) from error
    except UnicodeEncodeError as error:
        raise InvalidArgumentError(
            "the conversation holds half a character", reason="CONVERSATION_MALFORMED"
        ) from error


def _exchanged(
    process: "subprocess.Popen[bytes]", message: bytes, time_s: float
) -> tuple[Answer | None, bool]:
    """Say something and return the answer, None without one; and whether it came too late.

    What ends a process ends every wait for it, in writing as in reading.
    """
    late = threading.Event()

    def end() -> None:
        late.set()
        process.kill()

    timer = threading.Timer(time_s, end)
    timer.start()
    try:
        answer = _spoken(
            cast("IO[bytes]", process.stdin), cast("IO[bytes]", process.stdout), message
        )
    finally:
        timer.cancel()
        timer.join()  # it ends the process in this exchange or never
    return answer, late.is_set()


def _spoken(into: IO[bytes], out: IO[bytes], message: bytes) -> Answer | None:
    try:
        into.write(message)
        into.flush()
        said = read_frame(out)
    except (OSError, EOFError, ValueError, RecursionError):
        return None
    return _checked(said)


def _checked(said: Any) -> Answer | None:
    """Return what was said if it is an answer: what a stranger's program says is only data."""
    match said:
        case [str(kind), str(words)] if kind in LENGTHS and len(words) <= LENGTHS[kind]:
            return Answer(kind, words)
        case _:
            return None


def _exit_code(process: "subprocess.Popen[bytes]") -> str:
    with suppress(subprocess.TimeoutExpired):
        code = process.wait(END_S_MAX)
        names = {number.value: number.name for number in signal.Signals}
        return f"by {names.get(-code, -code)}" if code < 0 else f"with code {code}"
    return "without sense"


def _ended(process: "subprocess.Popen[bytes]") -> None:
    process.kill()
    for pipe in (process.stdin, process.stdout):
        with suppress(OSError):  # what nobody read any more
            cast("IO[bytes]", pipe).close()
    process.wait()
