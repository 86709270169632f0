"""Starting rbee's real processes for a benchmark, each in a home of its own."""

import asyncio
import os
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

from rbee_shared.lifecycle import ready

ROOT = Path(__file__).parents[1]
STOP_S_MAX = 20.0


@asynccontextmanager
async def started(module: str, *args: str, home: Path, models: Path) -> AsyncGenerator[str]:
    """Run `python -m module` for the block and yield its address once it is ready."""
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("RBEE_")},
        "RBEE_HOME": str(home),
        "RBEE_MODELS": str(models),
        "RBEE_QUEEN_LISTEN": "127.0.0.1:0",
    }
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", module, *args),
        stdout=asyncio.subprocess.PIPE,
        cwd=ROOT,
        env=environment,
    )
    assert process.stdout is not None
    try:
        found = None
        while found is None:
            line = await process.stdout.readline()
            assert line, f"{module} ended before it was ready"
            found = ready.parse(line.decode())
        yield found.address
    finally:
        process.terminate()
        async with asyncio.timeout(STOP_S_MAX):
            await process.communicate()
