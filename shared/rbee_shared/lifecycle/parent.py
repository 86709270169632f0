"""Noticing that the parent is gone: a child's standard input ends with it."""

import asyncio
import os
import sys


async def parent_gone() -> None:
    """Return when standard input, a pipe from the parent, has ended."""
    loop = asyncio.get_running_loop()
    gone = asyncio.Event()
    descriptor = sys.stdin.fileno()

    def look() -> None:
        try:
            ended = not os.read(descriptor, 1024)
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
