"""Running a process to its exit code: where error groups are taken apart and loops are chosen."""

import asyncio
import sys
from collections.abc import Callable, Coroutine

from rbee_shared.errors import known
from rbee_shared.lifecycle import failure

if sys.platform == "win32":
    new_event_loop = asyncio.new_event_loop
else:
    from uvloop import new_event_loop


def run_daemon(main: Coroutine[None, None, None]) -> int:
    """Run `main` on a new event loop and return the exit code: 0 done, 1 a known error, told.

    Anything that is not an RbeeError is a bug and keeps its traceback.
    """

    def run() -> None:
        with asyncio.Runner(loop_factory=new_event_loop) as runner:
            runner.run(main)

    return run_once(run)


def run_once(main: Callable[[], None]) -> int:
    """Call `main` and return the exit code: 0 done, 1 a known error, told as the failure line."""
    try:
        main()
    except Exception as error:
        expected = known(error)
        if expected is None:
            raise
        failure.write(expected)
        return 1
    return 0
