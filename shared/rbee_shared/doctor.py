"""What a machine has to compute with, as `python -m rbee_worker.doctor` finds it.

Only the worker's package knows ONNX Runtime, and what it loads may end a process: so hives and the
command line look through a child, and its end is one of the things found.
"""

import asyncio
import json
import sys
from dataclasses import dataclass

from rbee_shared.narration.redact import clean_text

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
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", MODULE),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
    except OSError as error:
        return [_failed(f"no process can be started: {error.strerror}")]
    try:
        async with asyncio.timeout(timeout_s):
            out, err = await process.communicate()
    except TimeoutError:
        return [_failed(f"nothing was found within {timeout_s:.0f} s")]
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    return found_in(out, err, process.returncode or 0)


def found_in(out: bytes, err: bytes, exit_code: int) -> list[MachineCheck]:
    """Return what the child wrote, else how it ended. Pure."""
    try:
        return [MachineCheck(**each) for each in json.loads(out)]
    except (ValueError, TypeError):
        words = err.decode(errors="replace").strip().splitlines() or ["without a word"]
        return [_failed(f"ended with code {exit_code}: {clean_text(words[-1])}")]


def _failed(detail: str) -> MachineCheck:
    return MachineCheck("looking at the machine", passed=False, detail=detail, hint=HINT_INSTALL)
