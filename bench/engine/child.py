"""An engine's process, from the side that measures: it runs only while it is asked something.

Between two questions it is stopped by a signal, so that no thread of it that waits by spinning
takes a core from the engine that is measured.
"""

import json
import os
import select
import signal
import subprocess
import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

import psutil

from bench.engine.exchange import Decoded, FirstTokens, Prompt
from bench.process import ROOT

ANSWER_S_MAX = 600.0
STOP_S_MAX = 20.0
CORES = os.cpu_count() or 1


@dataclass(slots=True)
class Child:
    """A process with an engine. `about` is what it says of itself.

    `disturbed` is the share of all cores that other work took while it answered last.
    """

    name: str
    process: "subprocess.Popen[str]"
    about: str
    disturbed: float = 0.0

    def decode(self, prompts: Sequence[Prompt], count: int) -> Decoded:
        """Have it answer all prompts at once, with so many tokens each."""
        return Decoded(**self._ask(prompts, count))

    def first_tokens(self, prompt: Prompt) -> FirstTokens:
        """Have it answer a prompt with one token, twice."""
        return FirstTokens(**self._ask([prompt], 1))

    def _ask(self, prompts: Sequence[Prompt], count: int) -> dict[str, Any]:
        assert self.process.stdin is not None
        self.process.send_signal(signal.SIGCONT)
        asked = {"prompts": [asdict(prompt) for prompt in prompts], "count": count}
        self.process.stdin.write(json.dumps(asked) + "\n")
        began_s, others_s = time.perf_counter(), self._others_s()
        self.process.stdin.flush()
        answer = _heard(self.process, self.name)
        took_s = time.perf_counter() - began_s
        self.disturbed = (self._others_s() - others_s) / (took_s * CORES)
        _stop(self.process)
        return answer

    def _others_s(self) -> float:
        """Return the seconds that the cores have worked for other processes, or other machines."""
        all_cores, own = psutil.cpu_times(), psutil.Process(self.process.pid).cpu_times()
        idle_s = all_cores.idle + getattr(all_cores, "iowait", 0.0)
        counted_twice_s = getattr(all_cores, "guest", 0.0) + getattr(all_cores, "guest_nice", 0.0)
        return sum(all_cores) - idle_s - counted_twice_s - own.user - own.system


@contextmanager
def started(name: str, python: str, module: str, *arguments: str) -> Generator[Child]:
    """Have the engine of a module for the block, loaded and stopped."""
    process = subprocess.Popen(
        [python, "-m", module, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "shared")])},
    )
    try:
        hello = _heard(process, name)
        _stop(process)
        yield Child(name, process, hello["about"])
    finally:
        _end(process)


def _heard(process: "subprocess.Popen[str]", name: str) -> dict[str, Any]:
    assert process.stdout is not None
    ready, _, _ = select.select([process.stdout], [], [], ANSWER_S_MAX)
    assert ready, f"{name} has not answered for {ANSWER_S_MAX:.0f} s"
    line = process.stdout.readline()
    assert line, f"{name} has ended, by {process.wait(STOP_S_MAX)}"
    return json.loads(line)


def _stop(process: "subprocess.Popen[str]") -> None:
    """Stop it, and wait until it has: on a busy machine that takes its turn too."""
    process.send_signal(signal.SIGSTOP)
    os.waitid(os.P_PID, process.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)


def _end(process: "subprocess.Popen[str]") -> None:
    """Close its standard input, which ends it, and kill it if it does not."""
    assert process.stdin is not None
    assert process.stdout is not None
    process.send_signal(signal.SIGCONT)
    process.stdin.close()
    try:
        process.wait(STOP_S_MAX)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    process.stdout.close()
