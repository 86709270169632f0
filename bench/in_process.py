"""A hive that is called against one that is dialled: model_list and worker_list, in one run.

Every way goes the whole path: a job with a log, the hive's own code, the typed result. What
isolates contexts is measured by itself, and the user's path through a queen's socket besides.
"""

import argparse
import asyncio
import tempfile
from collections.abc import Awaitable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median

from bench.hive_server import telling
from bench.measure import Prepare, interleaved
from bench.process import started
from rbee.v1 import operation_pb2
from rbee_client.client import Client
from rbee_client.connect import connect
from rbee_hive.hive import Hive, opened_hive
from rbee_hive.operations import execute
from rbee_queen.hive_link import HiveLink
from rbee_queen.local_hive import LocalHive
from rbee_queen.remote_hive import dialled_hive
from rbee_shared.ids import LOCALHOST, new_job_id
from rbee_shared.jobs.log import JobLog
from rbee_shared.jobs.runner import Execute
from rbee_shared.lifecycle.daemon import new_event_loop
from rbee_shared.narration.context import JOB, JobContext
from rbee_shared.paths import Paths, resolve
from rbee_shared.settings import load

OPERATIONS = {
    "model_list": operation_pb2.Operation(model_list=operation_pb2.ModelListOperation()),
    "worker_list": operation_pb2.Operation(worker_list=operation_pb2.WorkerListOperation()),
}
COROUTINE, TASK, LOCAL = "coroutine alone", "in a task of its own", "LocalHive"
UNIX, TCP = "RemoteHive, unix socket", "RemoteHive, TCP loopback"
TELLING = ", one narration"
EMBEDDED, SEPARATE = "queen, hive within", "queen, hive apart"
BASES = {LOCAL: TCP, LOCAL + TELLING: TCP + TELLING, EMBEDDED: SEPARATE}


@dataclass(frozen=True, slots=True)
class Ways:
    """All that can be asked for one operation."""

    hive: Hive
    links: Mapping[str, HiveLink]
    queens: Mapping[str, Client]

    def prepared(self, operation: operation_pb2.Operation) -> dict[str, Prepare]:
        """Return what prepares a call, by the name of its way."""
        found: dict[str, Prepare] = {}
        works: dict[str, Execute] = {
            COROUTINE: partial(execute, self.hive),
            COROUTINE + TELLING: partial(telling, self.hive),
        }
        for name, do in works.items():
            found[name] = _within_job(partial(do, operation))
            found[name.replace(COROUTINE, TASK)] = _within_job(partial(_in_task, do, operation))
        for name, link in self.links.items():
            found[name] = _within_job(lambda link=link: link.run(operation))
        for name, queen in self.queens.items():
            found[name] = lambda queen=queen: queen.call(operation)
        return found


def _within_job(call: Prepare) -> Prepare:
    def prepare() -> Awaitable[object]:
        JOB.set(JobContext(new_job_id(), story=JobLog()))
        return call()

    return prepare


async def _in_task(do: Execute, operation: operation_pb2.Operation) -> operation_pb2.Result:
    async def work() -> operation_pb2.Result:
        return await do(operation)

    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(work())
    return task.result()


async def run(models: Path, folder: Path, *, rounds: int, calls_a_round: int) -> None:
    """Start all that is dialled, measure, and print."""
    async with AsyncExitStack() as stack:

        async def process(module: str, *args: str) -> str:
            home = folder / f"{module}{len(args)}"
            return await stack.enter_async_context(started(module, *args, home=home, models=models))

        async def dialled(target: str) -> HiveLink:
            return await stack.enter_async_context(dialled_hive(LOCALHOST, target))

        home = folder / "within"
        paths = Paths(home, models, home, home / "run").create()
        hive = await stack.enter_async_context(
            opened_hive(LOCALHOST, paths, load(paths.settings_file))
        )
        links: dict[str, HiveLink] = {
            LOCAL: LocalHive(LOCALHOST, partial(execute, hive), hive.snapshots),
            LOCAL + TELLING: LocalHive(LOCALHOST, partial(telling, hive), hive.snapshots),
            UNIX: await dialled(await process("rbee_hive")),
            TCP: await dialled(await process("bench.hive_server")),
            TCP + TELLING: await dialled(await process("bench.hive_server", "--telling")),
        }
        queens = {
            EMBEDDED: await stack.enter_async_context(connect(await process("rbee_queen"))),
            SEPARATE: await stack.enter_async_context(
                connect(await process("rbee_queen", "--separate-hive"))
            ),
        }
        ways = Ways(hive, links, queens)
        for name, operation in OPERATIONS.items():
            found = await interleaved(
                ways.prepared(operation), rounds=rounds, calls_a_round=calls_a_round
            )
            show(name, found)


def show(operation: str, found: Mapping[str, list[float]]) -> None:
    """Print one operation's figures: the median of the rounds' medians, and of their ratios."""
    print(f"{operation}, p50 in us")
    for name, medians in found.items():
        line = f"  {name:42}{median(medians):9.1f}   {min(medians):.1f} to {max(medians):.1f}"
        if base := BASES.get(name):
            ratios = [far / near for near, far in zip(medians, found[base], strict=True)]
            line += f"   {median(ratios):.1f}x less than {base}"
        print(line)


def main() -> None:
    """Run it on a model store, this user's own if none is named."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", type=Path, default=resolve().models)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--calls", type=int, default=100)
    asked = parser.parse_args()
    with (
        tempfile.TemporaryDirectory() as folder,
        asyncio.Runner(loop_factory=new_event_loop) as runner,
    ):
        runner.run(run(asked.models, Path(folder), rounds=asked.rounds, calls_a_round=asked.calls))


if __name__ == "__main__":
    main()
