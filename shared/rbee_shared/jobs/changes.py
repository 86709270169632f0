"""What a recorder has to write of one log: what is new, and what became of what it has."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from rbee.v1 import job_pb2


@dataclass(frozen=True, slots=True)
class Changes:
    """What to write: events that are new or say something else now, and sequences that are gone.

    With it, all that the log says up to the sequence `upto` is written.
    """

    events: Sequence[job_pb2.JobEvent]
    removed: Sequence[int]
    upto: int


class ChangeBook:
    """Which events the recorder was given, and which of those are not true any more."""

    def __init__(self, given_sequence: int) -> None:
        self.given_sequence = given_sequence
        self._removed: list[int] = []
        self._rewritten: dict[int, job_pb2.JobEvent] = {}

    def take(self, events: Sequence[job_pb2.JobEvent]) -> Changes:
        """Return all changes, with these events as the next ones."""
        if events:
            self.given_sequence = events[-1].sequence
        changes = Changes(
            [*self._rewritten.values(), *events], self._removed, upto=self.given_sequence
        )
        self._removed, self._rewritten = [], {}
        return changes

    def note(self, *, gone: Iterable[int], rewritten: Iterable[job_pb2.JobEvent] = ()) -> None:
        """Note events that are left out of the log now, and those that say something else."""
        for sequence in gone:
            if sequence <= self.given_sequence:
                self._removed.append(sequence)
                self._rewritten.pop(sequence, None)
        for event in rewritten:
            if event.sequence <= self.given_sequence:
                self._rewritten[event.sequence] = event
