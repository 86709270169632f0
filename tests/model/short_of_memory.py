"""`python -m tests.model.short_of_memory FOLDER`: an engine that gets no more memory once loaded.

It prints what becomes of a long prompt, of requests beside it, and of one afterwards, as JSON.
"""

import asyncio
import json
import resource
import sys
from collections.abc import Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import psutil

from rbee_shared.errors import RbeeError
from rbee_worker.engine.engine import Engine
from rbee_worker.engine.request import Request
from rbee_worker.sampling.params import SamplingParams
from tests.model.asking import answer_of, asked, opened

SPARE_BYTES = 48 * 2**20  # enough for a step of single tokens
MISSING_BYTES = 96 * 2**20  # less than a step of a long prompt wants
SHORT = asked("ab", SamplingParams(temperature=0, max_tokens=8, ignore_eos=True))
LONG = asked("a" * 400, SamplingParams(temperature=0, max_tokens=8, ignore_eos=True))


async def become(engine: Engine, request: Request) -> Sequence[object]:
    """Return the tokens of the answer, or the reason, hint and message of the error."""
    try:
        return (await answer_of(engine, request)).tokens
    except RbeeError as error:
        return [error.reason, error.hint, str(error)]


async def main(folder: Path) -> None:
    # a thread more would want memory too: the only one is there before it gets short
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(1))
    async with opened(folder, slots=4) as engine:
        before = await become(engine, SHORT)
        with short_of_memory() as is_short:
            if is_short:
                beside = asyncio.ensure_future(become(engine, SHORT))
                long = await become(engine, LONG)
                found = {"long": long, "beside": await beside, "after": await become(engine, SHORT)}
                sys.stdout.write(json.dumps({"before": before, **found}))


@contextmanager
def short_of_memory() -> Generator[bool]:
    """Leave this process little more memory than it has; yield whether that is kept."""
    before = resource.getrlimit(resource.RLIMIT_AS)
    most = psutil.Process().memory_info().vms + SPARE_BYTES
    resource.setrlimit(resource.RLIMIT_AS, (most, before[1]))
    try:
        np.empty(MISSING_BYTES, np.uint8)
    except MemoryError:
        yield True
    else:
        yield False
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
