"""The event log of one job: what it says, in order, for any number of watchers at any time.

A producer appends and never waits. Each watcher has a cursor: the last sequence it was given. The
log is bounded: a newer progress takes the place of an older one of the same action and target,
past the bound the oldest narrations are folded into one that says how many they were, and
completions are as many as the context holds tokens. What a watcher has not had yet reaches it in
messages with neighbouring completions merged. Every event that a watcher gets stands for the
sequences from `first_sequence` to `sequence`, and those ranges join without a gap: nothing is left
out unsaid.
"""

import asyncio
import threading
from bisect import bisect_right
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import suppress
from itertools import takewhile
from time import time
from typing import TypeVar

from rbee.v1 import inference_pb2, job_pb2, narration_pb2, operation_pb2
from rbee_shared.contracts import wire
from rbee_shared.errors import RbeeError
from rbee_shared.jobs.changes import ChangeBook, Changes
from rbee_shared.jobs.merge import FOLDED_MIN, fold, gather, is_ended, without_texts
from rbee_shared.limits import BATCH_EVENTS_MAX, BOOKMARK_S, NARRATIONS_MAX
from rbee_shared.narration.context import current
from rbee_shared.narration.event import Level, Narration

SHARED_BATCHES_MAX = 16

T = TypeVar("T")
ProgressKey = tuple[str, str, str]


class JobLog:
    """The log of one job. `narrate` and `complete` may be called from any thread.

    Nothing is appended after a terminal state: that is always the last event. `ended` says whether
    it is there, `last_told` what people were told last.
    """

    def __init__(
        self,
        *,
        narrations_max: int = NARRATIONS_MAX,
        events: Sequence[job_pb2.JobEvent] = (),
        hive: str = "",
    ) -> None:
        """Begin a log, or go on with one that another process began.

        Args:
            narrations_max: more are folded.
            events: the story so far.
            hive: whose story was poured into it.
        """
        self._loop = asyncio.get_running_loop()
        self._thread = threading.get_ident()
        self._narrations_max = narrations_max
        self._events = list(events)
        self._sequences = [event.sequence for event in events]
        self._progress: dict[ProgressKey, int] = {}
        self._narration_count = 0
        self._changed = asyncio.Event()
        self._changes: ChangeBook | None = None  # set: this log is recorded
        self._appended: Callable[[], None] | None = None
        self._origin = (hive, events[-1].origin_sequence if events else 0)
        self.last_sequence = events[-1].sequence if events else 0
        self.last_told = ""
        self.ended = bool(events) and is_ended(events[-1])
        self._announced_sequence = self.last_sequence
        self._batches: dict[int, list[job_pb2.JobEvent]] = {}
        self._look_s = 0.0  # when watchers that pause look again, on the loop's clock
        for event in events:
            if event.HasField("narration"):
                self._count(event.narration, event.sequence)

    @property
    def origin(self) -> tuple[str, int]:
        """The hive whose story is poured into this one, and how far."""
        return self._origin

    def record(self, appended: Callable[[], None]) -> None:
        """Have every event recorded from here on before it is announced.

        Args:
            appended: called when there is something to record.
        """
        self._changes = ChangeBook(self.last_sequence)
        self._appended = appended

    def changes(self) -> Changes:
        """Return what is to be recorded, at most one message full; `announce` it when it is.

        What is recorded as one event is one event for watchers too, so that whoever goes on with a
        recorded story never stands inside of one.
        """
        assert self._changes is not None
        start = bisect_right(self._sequences, self._changes.given_sequence)
        seen = bisect_right(self._sequences, self._announced_sequence)
        if start < seen:  # by watchers, who may go on from any of them
            return self._changes.take(self._events[start : min(seen, start + BATCH_EVENTS_MAX)])
        events = gather(self._events, start)
        if events:
            end = bisect_right(self._sequences, events[-1].sequence)
            self._events[start:end] = events
            self._sequences[start:end] = [event.sequence for event in events]
        return self._changes.take(events)

    def announce(self, sequence: int) -> None:
        """Let watchers have the events up to that sequence."""
        self._announced_sequence = max(sequence, self._announced_sequence)
        self._batches.clear()
        self._changed.set()
        self._changed = asyncio.Event()

    def narrate(self, narration: Narration) -> None:
        """Append a narration; a progress replaces the one before it."""
        self._in_loop(self._narrate, narration)

    def complete(self, completion: inference_pb2.Completion) -> None:
        """Append tokens of an answer."""
        self._in_loop(self._complete, completion)

    def result(self, result: operation_pb2.Result) -> None:
        """Append what the operation returned."""
        self._append(job_pb2.JobEvent(result=result))

    def state(self, state: job_pb2.JobState.ValueType, error: RbeeError | None = None) -> None:
        """Append a change of state; a terminal one ends the log."""
        change = job_pb2.JobStateChange(state=state)
        if error is not None:
            change.error.CopyFrom(wire.error_to_proto(error))
        self._append(job_pb2.JobEvent(state=change))

    def heard(self, hive: str, sequence: int) -> None:
        """Note that the hive's story of this job is in here up to that sequence of its own."""
        is_new = hive != self._origin[0]
        self._origin = (hive, sequence)
        if is_new:
            self._stir()  # who has the job must not wait for the hive's first word

    def forget_texts(self) -> None:
        """Take the tokens out of the story of an ended job, and say so in it."""
        if self._become(without_texts(self._events)):
            self._stir()

    def read(self, after: int) -> list[job_pb2.JobEvent]:
        """Return the next announced events after that sequence, at most one message full."""
        if after not in self._batches:  # watchers who are equally far share one
            if len(self._batches) == SHARED_BATCHES_MAX:
                self._batches.clear()
            start = bisect_right(self._sequences, after)
            end = bisect_right(self._sequences, self._announced_sequence)
            self._batches[after] = gather(self._events, start, after=after, end=end)
        return self._batches[after]

    async def follow(
        self, after: int, pause_s: Callable[[], float]
    ) -> AsyncGenerator[list[job_pb2.JobEvent]]:
        """Yield the events after that sequence, then those to come, until the job has ended."""
        while True:
            if events := self.read(after):
                after = events[-1].sequence
                yield events
                if is_ended(events[-1]):
                    self._batches.clear()  # an ended job may be kept for long
                    return
                if after >= self._announced_sequence and (pause := pause_s()):
                    await self._pause(pause)  # a message that is full waits for nothing
            elif self.ended and after >= self.last_sequence:
                return
            else:
                try:
                    async with asyncio.timeout(BOOKMARK_S):
                        await self._changed.wait()
                except TimeoutError:
                    yield []

    async def _pause(self, pause_s: float) -> None:
        now_s = self._loop.time()
        if self._look_s <= now_s:
            self._look_s = now_s + pause_s
        await asyncio.sleep(self._look_s - now_s)  # all at once, so that they share what they read

    def _in_loop(self, append: Callable[[T], None], said: T) -> None:
        if threading.get_ident() == self._thread:
            append(said)
        elif not self._loop.is_closed():
            with suppress(RuntimeError):  # closed in between: nobody is left to be told
                self._loop.call_soon_threadsafe(append, said)

    def _narrate(self, narration: Narration) -> None:
        if self.ended:
            return
        event = job_pb2.JobEvent(narration=wire.narration_to_proto(narration))
        if narration.progress is not None:
            self._drop(self._progress.get(_key(event.narration)))
        self._count(event.narration, self.last_sequence + 1)
        self._append(event)
        if self._narration_count > self._narrations_max:
            self._fold()

    def _count(self, told: narration_pb2.NarrationEvent, sequence: int) -> None:
        self._narration_count += 1
        if told.HasField("progress"):
            self._progress[_key(told)] = sequence
        if told.level > Level.DEBUG:
            self.last_told = told.human

    def _complete(self, completion: inference_pb2.Completion) -> None:
        self._append(job_pb2.JobEvent(completion=completion))

    def _append(self, event: job_pb2.JobEvent) -> None:
        if self.ended:
            return
        self.last_sequence += 1
        event.sequence = event.first_sequence = self.last_sequence
        event.origin_sequence = self._origin[1]
        event.create_time.CopyFrom(wire.timestamp(time()))
        self._events.append(event)
        self._sequences.append(event.sequence)
        self.ended = is_ended(event)
        self._stir()

    def _stir(self) -> None:
        if self._appended is not None:
            self._appended()
        else:
            self.announce(self.last_sequence)

    def _drop(self, sequence: int | None) -> None:
        if sequence is None:
            return
        index = bisect_right(self._sequences, sequence) - 1
        if index >= 0 and self._sequences[index] == sequence:
            del self._events[index], self._sequences[index]
            self._narration_count -= 1
            if self._changes is not None:
                self._changes.note(gone=[sequence])

    def _fold(self) -> None:
        events, _ = fold(self._events, max(FOLDED_MIN, self._narrations_max // 10))
        self._narration_count -= len(self._events) - len(events)
        self._become(events)
        if self._progress:
            kept = {event.sequence for event in events if event.narration.HasField("progress")}
            self._progress = {key: each for key, each in self._progress.items() if each in kept}

    def _become(self, events: list[job_pb2.JobEvent]) -> bool:
        """Take in fewer events, some of which say something else; return whether any does."""
        self._batches.clear()
        pairs = zip(reversed(self._events), reversed(events), strict=False)
        same = sum(1 for _ in takewhile(lambda pair: pair[0] is pair[1], pairs))
        old, new = len(self._events) - same, len(events) - same  # most are the same at the end
        before = dict(zip(self._sequences[:old], self._events[:old], strict=True))
        rewritten = [event for event in events[:new] if before.pop(event.sequence) is not event]
        if self._changes is not None:
            self._changes.note(gone=before, rewritten=rewritten)
        self._events = events
        self._sequences[:old] = [event.sequence for event in events[:new]]
        self._batches.clear()
        return bool(rewritten)


def _key(told: narration_pb2.NarrationEvent) -> ProgressKey:
    return (told.actor, told.action, told.target)


def told_by(hive: str, sequence: int) -> None:
    """Note in the current job's log that what follows is told by a hive, and from where on."""
    log = current().story
    if isinstance(log, JobLog):
        log.heard(hive, sequence)
