"""The real command line as a process, and a queen in the test's own that does as it is told."""

import asyncio
import sys
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

from rbee.v1 import operation_pb2 as pb
from rbee_shared.jobs.runner import running_jobs
from rbee_shared.lifecycle import lock
from rbee_shared.paths import resolve
from tests.conftest import environment_of
from tests.queens import serving_jobs_of

Work = Callable[[pb.Operation], Awaitable[pb.Result]]


@dataclass
class Done:
    """How a command ended, and what it wrote."""

    code: int
    out: str
    err: str


@dataclass
class Keeper:
    """The command line of one home; `asked` is what its queen was asked for."""

    home: Path
    asked: list[pb.Operation] = field(default_factory=list[pb.Operation])

    async def __call__(
        self, *arguments: str, folder: Path | None = None, stdin: str | None = None
    ) -> Done:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "rbee_keeper",
            *arguments,
            stdin=asyncio.subprocess.DEVNULL if stdin is None else asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=environment_of(self.home),
            cwd=folder or self.home,
        )
        out, err = await process.communicate(None if stdin is None else stdin.encode())
        assert process.returncode is not None
        return Done(process.returncode, out.decode(), err.decode())

    def last(self) -> Any:
        """Return what the queen was last asked for."""
        operation = self.asked[-1]
        return getattr(operation, operation.WhichOneof("kind") or "")


@asynccontextmanager
async def keeper_of(home: Path, work: Work) -> AsyncGenerator[Keeper]:
    """Be the queen of a home for the block; yield its command line."""
    keeper = Keeper(home)

    async def execute(operation: pb.Operation) -> pb.Result:
        asked = pb.Operation()
        asked.CopyFrom(operation)  # prompts are taken out of an ended job
        keeper.asked.append(asked)
        return await work(operation)

    paths = resolve({"RBEE_HOME": str(home)}).create()
    with lock.held(paths.lock("queen"), "queen") as held:
        async with running_jobs(execute, who="queen") as runner, serving_jobs_of(runner) as target:
            held.publish(address=target, version=version("rbee"))
            yield keeper
