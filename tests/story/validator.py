"""Is a job's story what it promises to be? Judged from what its watchers recorded.

The promises are those of etcd's watch (ordered, unique, atomic, reliable, resumable), for the
story of a job: https://etcd.io/docs/v3.6/learning/api_guarantees/. A watcher that reconnects is one
watcher here: whatever breaks in between, it reads one unbroken story.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from rbee.v1 import job_pb2
from rbee_shared.jobs.merge import is_ended, is_folded, is_forgotten


@dataclass
class Reading:
    """What one watcher got. `complete` says that its stream ended by itself."""

    watcher: str
    after: int
    events: list[job_pb2.JobEvent] = field(default_factory=list[job_pb2.JobEvent])
    complete: bool = False

    def texts(self) -> dict[int, str]:
        """Return the answer's text from `after` on, up to each sequence that ends an event."""
        text, found = "", {self.after: ""}
        for event in self.events:
            text += event.completion.text
            found[event.sequence] = text
        return found


def faults_of(readings: Sequence[Reading]) -> list[str]:
    """Return all that is wrong with the readings of one job."""
    faults = [fault for reading in readings for fault in _alone(reading)]
    faults += _one_end(readings)
    faults += _same_words(readings)
    faults += _same_text(readings)
    return faults


def _alone(reading: Reading) -> Iterator[str]:
    last = reading.after
    for index, event in enumerate(reading.events):
        if event.first_sequence != last + 1:
            yield f"{reading.watcher}: {event.first_sequence} follows {last}"
        if event.sequence < event.first_sequence:
            yield f"{reading.watcher}: {event.sequence} ends what {event.first_sequence} begins"
        if is_ended(event) and index < len(reading.events) - 1:
            yield f"{reading.watcher}: the story goes on after its end at {event.sequence}"
        if not event.WhichOneof("kind"):
            yield f"{reading.watcher}: {event.sequence} says nothing"
        last = event.sequence


def _one_end(readings: Sequence[Reading]) -> Iterator[str]:
    ends = {
        (event.sequence, event.state.SerializeToString()): reading.watcher
        for reading in readings
        for event in reading.events
        if is_ended(event)
    }
    if len(ends) > 1:
        yield f"{len(ends)} different ends: {sorted(place for place, _ in ends)}"
    end = min((sequence for sequence, _ in ends), default=None)
    for reading in readings:
        last = reading.events[-1].sequence if reading.events else reading.after
        if end is not None and last > end:
            yield f"{reading.watcher}: {last} comes after the end {end}"
        if reading.complete and last != end:
            yield f"{reading.watcher}: its stream ended at {last}, before the job did"


def _same_words(readings: Sequence[Reading]) -> Iterator[str]:
    """What is told at one place is the same for all, but for folded and forgotten places."""
    told: dict[int, tuple[bytes, str]] = {}
    for reading in readings:
        for event in reading.events:
            if event.HasField("completion") or _stands_for_others(event):
                continue
            alone = job_pb2.JobEvent()
            alone.CopyFrom(event)
            alone.first_sequence = 0
            said = alone.SerializeToString(deterministic=True)
            known, watcher = told.setdefault(event.sequence, (said, reading.watcher))
            if known != said:
                yield f"{reading.watcher} and {watcher} differ at {event.sequence}"


def _same_text(readings: Sequence[Reading]) -> Iterator[str]:
    """The text between two places is the same for all who know both."""
    whole: dict[int, str] = {}
    for reading in sorted(readings, key=lambda each: each.after):
        if any(_stands_for_others(event) for event in reading.events):
            continue
        if reading.after and reading.after not in whole:
            continue
        before = whole.get(reading.after, "")
        for sequence, text in reading.texts().items():
            if whole.setdefault(sequence, before + text) != before + text:
                yield f"{reading.watcher}: another text up to {sequence}"
                break


def _stands_for_others(event: job_pb2.JobEvent) -> bool:
    return is_folded(event) or is_forgotten(event)
