"""`python -m rbee_worker.text.render`: one chat template, rendered as often as somebody asks.

The first message is the template, each later one the values of a rendering; each has an answer. It
ends with whoever holds its standard input. Its limits are its own, since one who asked and is gone
can end nobody.
"""

import math
import sys
import time
from contextlib import suppress
from typing import Any

import jinja2

from rbee_worker.text.render.environment import RefusedError, compiled, rendered
from rbee_worker.text.render.frames import FAULT, READY, REFUSED, TEXT, framed, read_frame
from rbee_worker.text.render.told import described, told

if sys.platform != "win32":
    import resource

MEMORY_MIB_MAX = 256  # of addresses: this program and what it renders
CPU_S_MAX = 2  # of one answer; nobody who still listens waits so long


def main() -> None:
    """Answer until standard input ends."""
    _confine()
    asked, answers = sys.stdin.buffer, sys.stdout.buffer
    answers.write(framed([READY, ""]))
    answers.flush()
    work = _Work()
    with suppress(EOFError):
        while True:
            said = read_frame(asked)
            _allow_time()
            answers.write(work.answered(said))
            answers.flush()


class _Work:
    """One template, from its source to what it writes."""

    def __init__(self) -> None:
        self._source = ""
        self._template: jinja2.Template | None = None

    def answered(self, said: dict[str, Any]) -> bytes:
        """Do what was said and return the answer, whatever the template runs into."""
        try:
            return framed([TEXT, self._done(said)])
        except RefusedError as error:
            return framed([REFUSED, told(str(error), self._source)])
        except MemoryError:
            return framed([FAULT, f"it takes over {MEMORY_MIB_MAX} MiB of memory"])
        except Exception as error:  # the edge of a stranger's program, which runs into anything
            return framed([FAULT, described(error, self._source)])

    def _done(self, said: dict[str, Any]) -> str:
        if self._template is not None:
            return rendered(self._template, said)
        self._source = said["template"]
        self._template = compiled(self._source)
        return ""


def _confine() -> None:
    """Bound the memory, and have no file written, a core least of all: it would hold prompts."""
    if sys.platform == "win32":
        return
    limits = {
        resource.RLIMIT_AS: MEMORY_MIB_MAX * 1024 * 1024,
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_FSIZE: 0,
    }
    for limit, most in limits.items():
        with suppress(ValueError, OSError):  # some systems have no such limit
            resource.setrlimit(limit, (most, most))


def _allow_time() -> None:
    if sys.platform == "win32":
        return
    _, most = resource.getrlimit(resource.RLIMIT_CPU)
    with suppress(ValueError, OSError):  # a lower limit holds for the whole session
        used_s = math.ceil(time.process_time())
        resource.setrlimit(resource.RLIMIT_CPU, (used_s + CPU_S_MAX, most))


if __name__ == "__main__":
    main()
