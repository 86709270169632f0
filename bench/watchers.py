"""The watchers of `many_watchers`, in a process of their own so that no interpreter is shared.

Each checks its story as it comes: the ranges of sequences join without a gap, what is left out is
said to be, and the end is last.
Stalled ones stop reading after their first message and read on when the others have seen the end.
"""

import argparse
import asyncio
import json
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import asdict, dataclass, field
from typing import Any, cast

import grpc

from bench.measure import percentile
from rbee.v1 import job_pb2, job_service_pb2 as pb, job_service_pb2_grpc as rpc
from rbee_shared.jobs.merge import FOLDED_FIELD, is_ended, is_folded
from rbee_shared.lifecycle.daemon import new_event_loop
from rbee_shared.rpc.channel import OPTIONS

READY = "ready"


@dataclass(slots=True)
class Seen:
    """What one watcher saw."""

    is_stalled: bool
    is_whole: bool = True
    is_ended: bool = False
    event_count: int = 0
    message_count: int = 0
    folded_count: int = 0
    last_sequence: int = 0
    delays_ms: list[float] = field(default_factory=list[float])

    def take(self, events: Sequence[job_pb2.JobEvent]) -> None:
        """Check and count one message."""
        self.message_count += 1
        self.event_count += len(events)
        after, whole = self.last_sequence, self.is_whole
        for event in events:
            first, sequence = event.first_sequence, event.sequence
            # nothing else here stands for more than itself: no progress, no tokens
            whole = whole and first == after + 1 and (first == sequence or is_folded(event))
            after = sequence
        self.last_sequence, self.is_whole = after, whole
        if events:
            self._note_last(events)

    def _note_last(self, events: Sequence[job_pb2.JobEvent]) -> None:
        told = events[-1].create_time
        if not self.is_stalled:
            self.delays_ms.append(1000 * (time.time() - told.seconds - told.nanos / 1e9))
        if is_folded(events[0]):
            fields = {each.name: each.integer for each in events[0].narration.fields}
            self.folded_count = max(self.folded_count, fields[FOLDED_FIELD])
        self.is_ended = is_ended(events[-1])


@dataclass(frozen=True, slots=True)
class Report:
    """What all watchers saw, for the process that measures."""

    whole: int
    ended: int
    live_event_count: int
    live_message_count: int
    live_folded_count: int
    stalled_event_count: int
    delay_ms_p50: float
    delay_ms_p99: float
    delay_ms_max: float

    @classmethod
    def from_json(cls, text: str) -> "Report":
        """Read what the watchers' process printed."""
        return cls(**json.loads(text))


def report(seen: Sequence[Seen]) -> Report:
    """Put together what each of them saw."""
    live = [each for each in seen if not each.is_stalled]
    delays = [delay for each in live for delay in each.delays_ms]
    return Report(
        whole=sum(each.is_whole for each in seen),
        ended=sum(each.is_ended for each in seen),
        live_event_count=sum(each.event_count for each in live),
        live_message_count=sum(each.message_count for each in live),
        live_folded_count=max((each.folded_count for each in live), default=0),
        stalled_event_count=sum(each.event_count for each in seen if each.is_stalled),
        delay_ms_p50=percentile(delays, 50),
        delay_ms_p99=percentile(delays, 99),
        delay_ms_max=max(delays, default=0.0),
    )


class Watch:
    """One watcher's stream."""

    def __init__(self, channel: grpc.aio.Channel, job_id: str, *, is_stalled: bool) -> None:
        stub: rpc.JobServiceAsyncStub = rpc.JobServiceStub(channel)
        request = pb.WatchJobRequest(job_id=job_id)
        self._responses = aiter(cast("Any", stub.WatchJob(request)))
        self.seen = Seen(is_stalled)

    async def first(self) -> None:
        """Read the first message."""
        self.seen.take((await anext(self._responses)).events)

    async def rest(self) -> None:
        """Read all others."""
        async for response in self._responses:
            self.seen.take(response.events)


async def run(target: str, job_id: str, live: int, stalled: int, connections: int) -> Report:
    """Watch a job to its end.

    Args:
        target: of the server.
        job_id: of a job that runs.
        live: watchers that read as fast as they can.
        stalled: watchers that do not.
        connections: that all of them share.
    """
    async with AsyncExitStack() as stack:
        channels = [
            await stack.enter_async_context(
                # else channels with the same options share one connection
                grpc.aio.insecure_channel(
                    target, options=[*OPTIONS, ("grpc.use_local_subchannel_pool", 1)]
                )
            )
            for _ in range(connections)
        ]
        watches = [
            Watch(channels[number % connections], job_id, is_stalled=number < stalled)
            for number in range(live + stalled)
        ]
        for watch in watches:
            await watch.first()
        print(READY, flush=True)
        for is_stalled in (False, True):
            async with asyncio.TaskGroup() as tasks:
                for watch in watches:
                    if watch.seen.is_stalled == is_stalled:
                        tasks.create_task(watch.rest())
        return report([watch.seen for watch in watches])


def main() -> None:
    """Watch, and print the report as one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("target")
    parser.add_argument("job_id")
    for name in ("live", "stalled", "connections"):
        parser.add_argument(name, type=int)
    asked = parser.parse_args()
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        found = runner.run(
            run(asked.target, asked.job_id, asked.live, asked.stalled, asked.connections)
        )
    print(json.dumps(asdict(found)), flush=True)


if __name__ == "__main__":
    main()
