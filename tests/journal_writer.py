"""A process that writes a journal and says what its watchers see, until it is killed.

Run as `python journal_writer.py FILE`. Its lines are `job sequence text`, each written out at once.
"""

import asyncio
import os
import sys
from contextlib import aclosing
from pathlib import Path
from time import time

from rbee.v1 import inference_pb2, job_pb2, operation_pb2
from rbee_queen.journal.journal import Journal, opened_journal
from rbee_shared.jobs.log import JobLog
from rbee_shared.jobs.registry import JobEntry, JobRegistry
from rbee_shared.narration.event import Narration, Progress

JOBS = 3
PACE_S = 0.001  # so that the journal's thread gets its turn at once
PIECES = 1_000_000  # more than anybody waits for


async def _tell(log: JobLog) -> None:
    for number in range(PIECES):
        log.complete(inference_pb2.Completion(text=f"{number} ", token_ids=[number]))
        if number % 7 == 0:
            step = Progress(number)
            log.narrate(Narration("hive", "step", str(number), time(), progress=step))
        if number % 11 == 0:
            await asyncio.sleep(PACE_S)


async def _watch(job_id: str, log: JobLog) -> None:
    async with aclosing(log.follow(0, lambda: 0.0)) as batches:
        async for events in batches:
            for event in events:
                line = f"{job_id} {event.sequence} {event.completion.text}\n"
                os.write(sys.stdout.fileno(), line.encode())


def _begin(journal: Journal, registry: JobRegistry, job_id: str) -> JobLog:
    log = JobLog(narrations_max=20)
    infer = operation_pb2.InferOperation(model="tiny")
    job = job_pb2.Job(id=job_id, operation=operation_pb2.Operation(infer=infer))
    entry = JobEntry(job, log, time(), None)
    registry.add(entry)
    journal.record(entry, log)
    log.state(job_pb2.JOB_STATE_QUEUED)
    return log


async def main(file: Path) -> None:
    """Tell and watch three jobs."""
    registry = JobRegistry()
    async with opened_journal(file) as journal, asyncio.TaskGroup() as tasks:
        for number in range(1, JOBS + 1):
            log = _begin(journal, registry, f"j-{number}")
            tasks.create_task(_tell(log))
            tasks.create_task(_watch(f"j-{number}", log))


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
