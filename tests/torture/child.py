"""`python -m tests.torture.child HOME MODEL`: a hive that pulls one model, to be killed.

It writes a line of JSON for each step that its job tells: the step, how far it is, and of how much.
"""

import asyncio
import json
import sys
from functools import partial
from pathlib import Path

from rbee.v1 import job_pb2, operation_pb2 as pb
from rbee_hive.hive import opened_hive
from rbee_hive.operations import execute
from rbee_shared.jobs.registry import JobEntry
from rbee_shared.jobs.runner import running_jobs
from rbee_shared.paths import resolve
from rbee_shared.settings import Settings
from tests.transfers import QUICK


async def pull(home: Path, model: str) -> str | None:
    """Pull a model; return the reason of its failure, None if it worked."""
    paths = resolve({"RBEE_HOME": str(home)}).create()
    async with (
        opened_hive("attic", paths, Settings(), policy=QUICK) as hive,
        running_jobs(partial(execute, hive), who="hive") as runner,
    ):
        operation = pb.Operation(model_download=pb.ModelDownloadOperation(model=model))
        entry = runner.submit(
            job_pb2.Job(id="j-1", operation=operation), timeout_s=60, lease_s=None
        )
        await _tell(entry)
        return entry.error.reason if entry.error else None


async def _tell(entry: JobEntry) -> None:
    async for events in entry.log.follow(0, lambda: 0.0):
        for told in (each.narration for each in events if each.HasField("narration")):
            step = (told.action, told.target, told.progress.done, told.progress.total)
            sys.stdout.write(f"{json.dumps(step)}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(asyncio.run(pull(Path(sys.argv[1]), sys.argv[2])))
