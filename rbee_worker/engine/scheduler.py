"""Which sequence computes what in the next step. Pure: no clock, no model, no threads.

This version works on one sequence at a time, in the order of arrival: its prompt in chunks, so that
a cancel never waits long, then one token a step.
"""

from collections import deque
from dataclasses import dataclass

from rbee_shared.errors import ResourceExhaustedError
from rbee_worker.engine.sequence import Sequence

WAITING_MAX = 64
PREFILL_CHUNK_TOKENS = 64  # about 130 ms for a small model: how long a cancel may wait


class QueueFullError(ResourceExhaustedError):
    """The worker has too many requests already."""

    reason = "QUEUE_FULL"
    hint = "try again in a moment, or spawn another worker"

    def __init__(self, waiting: int) -> None:
        super().__init__(f"{waiting} requests wait already")


@dataclass(frozen=True, slots=True)
class Step:
    """Compute the tokens [begin, end) of a sequence; logits follow when it ends the sequence."""

    sequence: Sequence
    begin: int
    end: int

    @property
    def samples(self) -> bool:
        """Whether a token is chosen after it."""
        return self.end == self.sequence.length


class Scheduler:
    """Sequences that wait and the one that runs."""

    def __init__(self, *, waiting_max: int = WAITING_MAX) -> None:
        self._waiting_max = waiting_max
        self._waiting: deque[Sequence] = deque()
        self._running: list[Sequence] = []

    @property
    def waiting(self) -> int:
        """How many wait."""
        return len(self._waiting)

    @property
    def running(self) -> int:
        """How many are worked on."""
        return len(self._running)

    def add(self, sequence: Sequence) -> None:
        """Take in a sequence.

        Raises:
            QueueFullError: too many wait.
        """
        if len(self._waiting) >= self._waiting_max:
            raise QueueFullError(len(self._waiting))
        self._waiting.append(sequence)

    def remove(self, sequence: Sequence) -> bool:
        """Drop a sequence that has ended or is not wanted any more; False if it was not here."""
        for place in (self._running, self._waiting):
            if sequence in place:
                place.remove(sequence)
                return True
        return False

    def all(self) -> list[Sequence]:
        """Return every sequence, running ones first."""
        return [*self._running, *self._waiting]

    def schedule(self) -> Step | None:
        """Return the next step; None when there is nothing to do."""
        if not self._running:
            if not self._waiting:
                return None
            self._running.append(self._waiting.popleft())
        sequence = self._running[0]
        end = min(sequence.length, sequence.computed + PREFILL_CHUNK_TOKENS)
        return Step(sequence, sequence.computed, end)
