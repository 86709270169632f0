"""One job told 10,000 things a second with 50 watchers, five of whom never read on.

Asked is: no gap untold, no producer delay, memory bounded. The producer narrates what is due each
millisecond; its delay is how late it is done with it. The job is run unwatched as well, with and
without the journal, and at higher rates until the producer or a watcher falls behind.
"""

import argparse
import asyncio
import sys
import tempfile
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

import grpc

from bench.measure import MIB, Memory, memory, percentile
from bench.watchers import READY, Report
from rbee.v1 import job_pb2, job_service_pb2_grpc as rpc, operation_pb2
from rbee_queen.journal.journal import opened_journal
from rbee_shared.jobs.job_service import JobService
from rbee_shared.jobs.pacing import pacing
from rbee_shared.jobs.runner import running_jobs
from rbee_shared.lifecycle.daemon import new_event_loop
from rbee_shared.narration.narrate import narrate
from rbee_shared.rpc.server import serving

TICK_S = 0.001
SETTLE_S = 0.5
ROOT = Path(__file__).parents[1]
OPERATION = operation_pb2.Operation(model_download=operation_pb2.ModelDownloadOperation())


@dataclass(frozen=True, slots=True)
class Load:
    """What one run is asked to carry."""

    rate: int
    duration_s: float
    live: int
    stalled: int
    connections: int
    is_recorded: bool

    def __str__(self) -> str:
        """Say it for the table."""
        watchers = f"{self.live} live and {self.stalled} stalled watchers, "
        return (
            f"{self.rate}/s for {self.duration_s:g} s, {'' if self.is_recorded else 'no '}journal, "
            + (watchers + f"{self.connections} connections" if self.connections else "unwatched")
        )


@dataclass(slots=True)
class Producer:
    """An operation that narrates at a steady rate and notes how late it is."""

    rate: int
    duration_s: float
    go_on: asyncio.Event = field(default_factory=asyncio.Event)
    done: asyncio.Event = field(default_factory=asyncio.Event)
    delays_ms: list[float] = field(default_factory=list[float])
    narrating_s: float = 0.0
    took_s: float = 0.0

    @property
    def count(self) -> int:
        """How many things it tells."""
        return int(self.rate * self.duration_s)

    async def execute(self, _: operation_pb2.Operation) -> operation_pb2.Result:
        """Tell all of them."""
        await self.go_on.wait()
        clock, told = time.perf_counter, 0
        began = clock()
        while told < self.count:
            now = clock()
            due = min(self.count, int((now - began) * self.rate))
            for number in range(told, due):
                narrate("step", "step {number} of the work", target="work", number=number)
            if due > told:
                done = clock()
                self.narrating_s += done - now
                # the first of these was due right after the last one of the tick before
                self.delays_ms.append(1000 * (done - began - (told + 1) / self.rate))
                told = due
            await asyncio.sleep(TICK_S)
        self.took_s = clock() - began
        self.done.set()
        return operation_pb2.Result(model_download=operation_pb2.ModelDownloadResult())


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one run."""

    load: Load
    producer: Producer
    memory: Memory
    report: Report | None

    @property
    def holds(self) -> bool:
        """Whether every watcher, stalled or not, had a story without a gap, and its end."""
        if self.report is None:
            return True
        watchers = self.load.live + self.load.stalled
        return self.report.whole == self.report.ended == watchers


async def measure(load: Load, folder: Path) -> Outcome:
    """Serve one job, have it watched, and tell in it."""
    producer = Producer(load.rate, load.duration_s)
    async with AsyncExitStack() as stack:
        journal = None
        if load.is_recorded:
            journal = await stack.enter_async_context(opened_journal(folder / "journal.db"))
        pacer = await stack.enter_async_context(pacing())
        runner = await stack.enter_async_context(
            running_jobs(producer.execute, who="benchmark", recorder=journal)
        )

        def add_services(server: grpc.aio.Server) -> list[str]:
            rpc.add_JobServiceServicer_to_server(JobService(runner, pacer.pause_s), server)
            return []

        target = await stack.enter_async_context(
            serving(f"unix:{folder}/s", add_services, find_story=runner.story_of, grace_s=0)
        )
        job = job_pb2.Job(id="j-1", operation=OPERATION)
        runner.submit(job, timeout_s=3600, lease_s=None)
        async with _watching(load, target) as watchers, memory() as found:
            producer.go_on.set()
            await producer.done.wait()
            report = None if watchers is None else await _report(watchers)
            await asyncio.sleep(SETTLE_S)
    return Outcome(load, producer, found, report)


@asynccontextmanager
async def _watching(load: Load, target: str) -> AsyncGenerator[asyncio.subprocess.Process | None]:
    if not load.live + load.stalled:
        yield None
        return
    counts = [str(count) for count in (load.live, load.stalled, load.connections)]
    watchers = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "bench.watchers", target, "j-1", *counts),
        stdout=asyncio.subprocess.PIPE,
        cwd=ROOT,
    )
    try:
        assert watchers.stdout is not None
        assert (await watchers.stdout.readline()).decode().strip() == READY
        yield watchers
    finally:
        if watchers.returncode is None:
            watchers.kill()
        await watchers.wait()


async def _report(watchers: asyncio.subprocess.Process) -> Report:
    output, _ = await watchers.communicate()
    return Report.from_json(output.decode())


def figures(outcome: Outcome) -> dict[str, float]:
    """Return what is compared, by name with its unit."""
    load, producer, report = outcome.load, outcome.producer, outcome.report
    delays, used = producer.delays_ms, outcome.memory
    found = {
        "told a second": producer.count / producer.took_s,
        "one narrate, us": 1e6 * producer.narrating_s / producer.count,
        "producer late p50, ms": percentile(delays, 50),
        "producer late p99, ms": percentile(delays, 99),
        "producer late max, ms": max(delays),
        "memory before, MiB": used.before / MIB,
        "memory at most, MiB": used.peak / MIB,
        "memory after, MiB": used.after / MIB,
    }
    if report is not None:
        found |= {
            "stories whole": report.whole,
            "stories with their end": report.ended,
            "events a live watcher": report.live_event_count / load.live,
            "events a message": report.live_event_count / report.live_message_count,
            "folded for a live watcher": report.live_folded_count,
            "delivered p50, ms": report.delay_ms_p50,
            "delivered p99, ms": report.delay_ms_p99,
            "events a stalled watcher": report.stalled_event_count / max(1, load.stalled),
        }
    return found


def show(load: Load, outcomes: Sequence[Outcome]) -> None:
    """Print one load: the median of its rounds, and from where to where they went."""
    print(load)
    rounds = [figures(outcome) for outcome in outcomes]
    for name in rounds[0]:
        values = [each[name] for each in rounds]
        print(f"  {name:28}{median(values):9.1f}   {min(values):.1f} to {max(values):.1f}")


def loads(asked: argparse.Namespace) -> list[Load]:
    """Return what is run in each round, in order."""
    watchers = asked.live + asked.stalled
    plain = [
        (asked.rate, asked.duration_s, 0),
        (asked.rate, asked.duration_s, watchers),
        (asked.rate, asked.duration_s, 1),
        *((rate, asked.duration_s / 2, watchers) for rate in asked.more),
    ]
    return [
        Load(
            rate,
            duration_s,
            asked.live if connections else 0,
            asked.stalled if connections else 0,
            connections,
            is_recorded,
        )
        for rate, duration_s, connections in plain
        for is_recorded in (False, True)
    ]


def main() -> None:
    """Run all and print the figures; fail if a story has a gap."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rate", type=int, default=10_000)
    parser.add_argument("--duration-s", type=float, default=10.0)
    parser.add_argument("--live", type=int, default=45)
    parser.add_argument("--stalled", type=int, default=5)
    parser.add_argument("--more", type=int, nargs="*", default=[15_000, 20_000, 30_000])
    parser.add_argument("--rounds", type=int, default=3)
    asked = parser.parse_args()
    found: dict[Load, list[Outcome]] = {load: [] for load in loads(asked)}
    for _ in range(asked.rounds):
        for load, outcomes in found.items():
            with (
                tempfile.TemporaryDirectory() as folder,
                asyncio.Runner(loop_factory=new_event_loop) as runner,
            ):
                outcomes.append(runner.run(measure(load, Path(folder))))
    for load, outcomes in found.items():
        show(load, outcomes)
    if not all(outcome.holds for outcomes in found.values() for outcome in outcomes):
        sys.exit("a story has a gap, or no end")


if __name__ == "__main__":
    main()
