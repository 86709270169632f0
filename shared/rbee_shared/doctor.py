"""What a machine has to compute with, as `python -m rbee_worker.doctor` finds it.

Only the worker's package knows ONNX Runtime, and what it loads may end a process: so hives and the
command line look through a child, which writes one line for each check, `{"check": {...}}`, as soon
as it is made. How the child ends is one of the things found.
"""

import asyncio
import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass

from rbee_shared.errors import RbeeError
from rbee_shared.lifecycle.child import Child, running_child

MODULE = "rbee_worker.doctor"
TIMEOUT_S = 45.0  # a first look at a card loads a gigabyte of libraries
HINT_INSTALL = "`pip install 'rbee[worker]'` with the Python that runs rbee"


@dataclass(frozen=True, slots=True)
class MachineCheck:
    """One thing that was looked at. `hint`: what to do; where it passed, what would be better."""

    name: str
    passed: bool
    detail: str
    hint: str = ""

    @property
    def state(self) -> str:
        """How it is, in a word."""
        if not self.passed:
            return "fail"
        return "warn" if self.hint else "ok"


async def examined(timeout_s: float = TIMEOUT_S) -> list[MachineCheck]:
    """Return what is found on this machine; never fails, since that is an answer too."""
    try:
        async with running_child(MODULE, [], name="the doctor") as child:
            failed = await _failure_of(child, timeout_s)
            return [*parse(child.lines()), *failed]
    except OSError as error:
        return [_failed(f"no process can be started: {error.strerror}")]


def write(check: MachineCheck) -> None:
    """Tell the parent one thing that was found."""
    sys.stdout.write(json.dumps({"check": asdict(check)}) + "\n")
    sys.stdout.flush()


def parse(lines: Sequence[str]) -> Iterator[MachineCheck]:
    """Read the checks among what a child wrote. Pure."""
    for line in lines:
        if line.startswith('{"check"'):
            with suppress(ValueError, KeyError, TypeError, AttributeError, RecursionError):
                values = json.loads(line)["check"]
                texts = {key: str(values[key]) for key in ("name", "detail", "hint")}
                yield MachineCheck(**texts, passed=values["passed"] is True)


async def _failure_of(child: Child, timeout_s: float) -> list[MachineCheck]:
    try:
        async with asyncio.timeout(timeout_s):
            exit_code = await child.ended()
    except TimeoutError:
        return [_failed(f"it did not end within {timeout_s:g} s")]
    await child.capture.drained.wait()
    if exit_code == 0:
        return []
    error: RbeeError = child.error()
    return [_failed(str(error), error.hint)]


def _failed(detail: str, hint: str = "") -> MachineCheck:
    name = "looking at the machine"
    return MachineCheck(name, passed=False, detail=detail, hint=hint or HINT_INSTALL)
