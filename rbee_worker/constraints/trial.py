"""Trying a grammar in a process that may die of it."""

import json
import subprocess
import sys
import threading

from rbee_shared.errors import RbeeError
from rbee_worker.constraints.limits import TRIAL_S_MAX, TRIAL_START_S_MAX

MODULE = "rbee_worker.constraints"
TOO_MUCH = "it is too big: compiling takes over {limit:g} s, or too much memory or nesting"

Child = subprocess.Popen[str]


class TrialUnavailableError(RbeeError):
    """The process in which constraints are tried does not start."""

    reason = "CONSTRAINT_TRIAL_FAILED"
    hint = "is the machine out of memory or processes? answers without a constraint need none"


class Trial:
    """A process that compiles grammars for nothing. It starts with the first; one at a time.

    What ends it: `close`, the end of this process, or a grammar that takes too long, which is
    killed with it; the next grammar gets another process.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._child: Child | None = None
        self._has_started = False

    def fault_of(self, grammar: str) -> str:
        """Return what is wrong with a grammar; empty if it compiles. Blocking.

        Raises:
            TrialUnavailableError: the process does not start.
        """
        with self._lock:
            fault = _asked(self._started(), grammar)
            if fault is None:
                self._end()
                self._child = _spawned()  # is ready when the next one asks
                return TOO_MUCH.format(limit=TRIAL_S_MAX)
            return fault

    def close(self) -> None:
        """End the process, if there is one. A later grammar starts another."""
        with self._lock:
            self._end()

    def _started(self) -> Child:
        if self._child is not None and self._child.poll() is not None:
            self._end()
        self._child = self._child or _spawned()
        if not self._has_started and _line(self._child, TRIAL_START_S_MAX) is None:
            self._end()
            raise TrialUnavailableError("the process that tries constraints does not start")
        self._has_started = True
        return self._child

    def _end(self) -> None:
        child, self._child, self._has_started = self._child, None, False
        if child is not None:
            child.kill()
            child.communicate()


def _spawned() -> Child:
    return subprocess.Popen(
        [sys.executable, "-m", MODULE],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        encoding="utf-8",
    )


def _asked(child: Child, grammar: str) -> str | None:
    """Return the child's answer; None if it died of the question."""
    assert child.stdin is not None
    try:
        child.stdin.write(json.dumps(grammar) + "\n")
        child.stdin.flush()
    except OSError:
        return None
    return _line(child, TRIAL_S_MAX)


def _line(child: Child, limit_s: float) -> str | None:
    """Return what the child says next; None if it ends first, or is killed for its silence."""
    assert child.stdout is not None
    timer = threading.Timer(limit_s, child.kill)
    timer.start()
    try:
        line = child.stdout.readline()
    finally:
        timer.cancel()
    return str(json.loads(line)) if line.endswith("\n") else None
