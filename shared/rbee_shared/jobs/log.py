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
from dataclasses import dataclass
from time import time
from typing import Protocol, TypeVar

from rbee.v1 import inference_pb2, job_pb2, operation_pb2
from rbee_shared.contracts import wire
from rbee_shared.errors import RbeeError
from rbee_shared.jobs.merge import FOLDED_MIN, fold, gather, is_ended, without_texts
from rbee_shared.limits import BOOKMARK_S, NARRATIONS_MAX
from rbee_shared.narration.context import current
from rbee_shared.narration.event import Level, Narration

T = TypeVar("T")
ProgressKey = tuple[str, str, str]


class EventLog(Protocol):
    """The story of one job as its watchers see it, from memory or from a recording."""

    @property
    def last_sequence(self) -> int:
        """The newest sequence; 0 while nothing was said."""
        ...

    @property
    def origin(self) -> tuple[str, int]:
        """The hive whose story is poured into this one, and how far; an empty name for none."""
        ...

    def follow(
        self, after: int, pause_s: Callable[[], float]
    ) -> AsyncGenerator[list[job_pb2.JobEvent]]:
        """Yield the events after that sequence, then those to come, until the job has ended.

        While there is nothing to say, an empty list each `BOOKMARK_S` says that.

        Args:
            after: the last sequence that the watcher has; 0 for all.
            pause_s: the least time between two yields, asked for each.
        """
        ...


@dataclass(frozen=True, slots=True)
class Changes:
    """What a recorder writes: events that are new or say something else now, and those gone."""

    events: Sequence[job_pb2.JobEvent]
    removed: Sequence[int]


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
        self._appended: Callable[[], None] | None = None  # set: this log is recorded
        self._removed: list[int] = []
        self._refolded: job_pb2.JobEvent | None = None
        self._origin = (hive, events[-1].origin_sequence if events else 0)
        self.last_sequence = events[-1].sequence if events else 0
        self.last_told = ""
        self.ended = bool(events) and is_ended(events[-1])
        self._recorded_sequence = self._announced_sequence = self.last_sequence
        for event in events:
            if event.HasField("narration"):
                self._narration_count += 1
                told = event.narration
                if told.HasField("progress"):
                    self._progress[told.actor, told.action, told.target] = event.sequence

    @property
    def origin(self) -> tuple[str, int]:
        """The hive whose story is poured into this one, and how far."""
        return self._origin

    def record(self, appended: Callable[[], None]) -> None:
        """Have every event recorded from here on before it is announced.

        Args:
            appended: called when there is something to record.
        """
        self._appended = appended

    def changes(self) -> Changes:
        """Return what is to be recorded, at most one message full; call `recorded` after."""
        removed, self._removed = self._removed, []
        events = self._gather(self._recorded_sequence, self.last_sequence)
        if self._refolded is not None:
            events.insert(0, self._refolded)
            self._refolded = None
        return Changes(events, removed)

    def recorded(self, sequence: int) -> None:
        """Note that the events up to that sequence are recorded, and announce them."""
        self._recorded_sequence = sequence
        self.announce(sequence)

    def announce(self, sequence: int) -> None:
        """Let watchers have the events up to that sequence."""
        self._announced_sequence = max(sequence, self._announced_sequence)
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
        self._origin = (hive, sequence)

    def forget_texts(self) -> None:
        """Take the tokens out of the story of an ended job, and say so in it."""
        self._events = without_texts(self._events)
        self._sequences = [event.sequence for event in self._events]

    def read(self, after: int) -> list[job_pb2.JobEvent]:
        """Return the next announced events after that sequence, at most one message full."""
        return self._gather(after, self._announced_sequence)

    async def follow(
        self, after: int, pause_s: Callable[[], float]
    ) -> AsyncGenerator[list[job_pb2.JobEvent]]:
        """Yield the events after that sequence, then those to come, until the job has ended."""
        while True:
            if events := self.read(after):
                after = events[-1].sequence
                yield events
                if is_ended(events[-1]):
                    return
                if pause := pause_s():
                    await asyncio.sleep(pause)
            elif self.ended and after >= self.last_sequence:
                return
            else:
                try:
                    async with asyncio.timeout(BOOKMARK_S):
                        await self._changed.wait()
                except TimeoutError:
                    yield []

    def _gather(self, after: int, upto: int) -> list[job_pb2.JobEvent]:
        start, end = bisect_right(self._sequences, after), bisect_right(self._sequences, upto)
        return gather(self._events, start, after, end)

    def _in_loop(self, append: Callable[[T], None], said: T) -> None:
        if threading.get_ident() == self._thread:
            append(said)
        elif not self._loop.is_closed():
            with suppress(RuntimeError):  # closed in between: nobody is left to be told
                self._loop.call_soon_threadsafe(append, said)

    def _narrate(self, narration: Narration) -> None:
        if self.ended:
            return
        if narration.level > Level.DEBUG:
            self.last_told = narration.human
        event = job_pb2.JobEvent(narration=wire.narration_to_proto(narration))
        if narration.progress is not None:
            key = (narration.actor, narration.action, narration.target)
            self._drop(self._progress.get(key))
            self._progress[key] = self.last_sequence + 1
        self._narration_count += 1
        self._append(event)
        if self._narration_count > self._narrations_max:
            self._fold()

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
            self._forget([sequence])

    def _forget(self, sequences: Sequence[int]) -> None:
        if self._appended is not None:
            self._removed.extend(each for each in sequences if each <= self._recorded_sequence)

    def _fold(self) -> None:
        before = self._sequences
        self._events, folded = fold(self._events, max(FOLDED_MIN, self._narrations_max // 10))
        self._sequences = [event.sequence for event in self._events]
        self._narration_count -= len(before) - len(self._sequences)
        self._forget(sorted(set(before) - set(self._sequences)))
        if folded is not None and folded.sequence <= self._recorded_sequence:
            self._refolded = folded
        progressing = {
            event.sequence for event in self._events if event.narration.HasField("progress")
        }
        self._progress = {
            key: sequence for key, sequence in self._progress.items() if sequence in progressing
        }


def told_by(hive: str, sequence: int) -> None:
    """Note in the current job's log that what follows is told by a hive, and from where on."""
    log = current().story
    if isinstance(log, JobLog):
        log.heard(hive, sequence)
