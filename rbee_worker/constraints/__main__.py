"""Try grammars that come as lines of JSON, and answer each with what is wrong, or with nothing.

Compiling what a stranger wrote can take hours, all memory, or the stack; so it is tried in this
process, which its parent kills. Everything is smaller here than there: what passes, passes there.
It ends with its standard input.
"""

import contextlib
import json
import sys
import threading
from typing import Any

import llguidance

from rbee_worker.constraints.compiling import compiled
from rbee_worker.constraints.limits import TRIAL_MEMORY_BYTES_MAX, TRIAL_STACK_BYTES

if sys.platform != "win32":
    import resource

library: Any = llguidance

BYTES = "byte"  # the library's vocabulary of single bytes


def main() -> None:
    """Try what comes, in a thread with a small stack."""
    _confine()
    threading.stack_size(TRIAL_STACK_BYTES)
    trier = threading.Thread(target=_try_all)
    trier.start()
    trier.join()


def _try_all() -> None:
    vocabulary = library.LLTokenizer(BYTES)
    _answer("")
    for line in sys.stdin:
        _, fault = compiled(vocabulary, json.loads(line))
        _answer(fault)


def _answer(fault: str) -> None:
    sys.stdout.write(json.dumps(fault) + "\n")
    sys.stdout.flush()


def _confine() -> None:
    """Limit the memory where the system can, and leave no core dump of a crash."""
    if sys.platform != "win32":
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
            most = TRIAL_MEMORY_BYTES_MAX
            resource.setrlimit(resource.RLIMIT_AS, (most, most))


if __name__ == "__main__":
    main()
