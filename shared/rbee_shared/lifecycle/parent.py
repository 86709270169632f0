"""Noticing that the parent is gone: a child's standard input ends with it."""

import asyncio
import os
import stat
import sys
import threading
from contextlib import suppress

from rbee_shared.narration.line import FORMAT_VARIABLE, JSON_FORMAT

READ_BYTES = 1024
EXIT_CODE = 1


async def parent_gone() -> None:
    """Return when standard input, a pipe from the parent, has ended."""
    loop = asyncio.get_running_loop()
    gone = asyncio.Event()
    descriptor = sys.stdin.fileno()

    def look() -> None:
        try:
            ended = not os.read(descriptor, READ_BYTES)
        except BlockingIOError:
            return
        except OSError:
            ended = True  # a terminal that hung up
        if ended:
            loop.remove_reader(descriptor)
            gone.set()

    loop.add_reader(descriptor, look)
    try:
        await gone.wait()
    finally:
        loop.remove_reader(descriptor)


def end_with_parent() -> None:
    """Have this process end at once when its parent does, whatever it is computing.

    For programs that block. Whoever starts them without a pipe to hold has them left alone.
    """
    mode = os.fstat(sys.stdin.fileno()).st_mode
    is_held = stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode)  # uvloop's pipes are sockets
    if is_held and os.environ.get(FORMAT_VARIABLE) == JSON_FORMAT:
        threading.Thread(target=_wait_and_end, name="parent", daemon=True).start()


def _wait_and_end() -> None:
    with suppress(OSError):
        while os.read(sys.stdin.fileno(), READ_BYTES):
            pass
    os._exit(EXIT_CODE)
