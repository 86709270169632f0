"""Keeping a daemon's own log file within its bound while it runs.

Whoever launched the daemon opened the file for appending as its standard output, so it can be cut
in place: what was there becomes the file `.1`, and what is written next begins anew.
"""

import asyncio
import os
import shutil
import stat
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

from rbee_shared.limits import LOG_BYTES_MAX

LOOK_INTERVAL_S = 10.0


@asynccontextmanager
async def bounded_output(log_file: Path) -> AsyncGenerator[None]:
    """Keep standard output within `LOG_BYTES_MAX` for the block, if it is that log file."""
    async with asyncio.TaskGroup() as tasks:
        looking = tasks.create_task(_look(log_file), name="log bound")
        try:
            yield
        finally:
            looking.cancel()


async def _look(log_file: Path) -> None:
    while True:
        await asyncio.sleep(LOOK_INTERVAL_S)
        await asyncio.to_thread(cut, sys.stdout.fileno(), log_file)


def cut(descriptor: int, log_file: Path, bytes_max: int = LOG_BYTES_MAX) -> bool:
    """Move what an open log file holds aside if it is over the bound; say whether it was."""
    found = os.fstat(descriptor)
    if not stat.S_ISREG(found.st_mode) or found.st_size <= bytes_max:
        return False
    if not log_file.exists() or not os.path.samestat(found, log_file.stat()):
        return False
    shutil.copyfile(log_file, log_file.with_suffix(".log.1"))
    os.ftruncate(descriptor, 0)
    return True
