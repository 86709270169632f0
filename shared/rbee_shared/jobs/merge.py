"""How events of a job's log become fewer: batches, merged tokens, folded narration. Pure."""

from collections.abc import Sequence

from rbee.v1 import job_pb2, narration_pb2
from rbee_shared.limits import BATCH_BYTES_MAX, BATCH_EVENTS_MAX, MERGED_TOKENS_MAX

TERMINAL = {
    job_pb2.JOB_STATE_COMPLETED,
    job_pb2.JOB_STATE_FAILED,
    job_pb2.JOB_STATE_CANCELLED,
}
FOLDED_FIELD = "folded_count"


def is_ended(event: job_pb2.JobEvent) -> bool:
    """Whether this event ends a job."""
    return event.HasField("state") and event.state.state in TERMINAL


def gather(events: Sequence[job_pb2.JobEvent], start: int, after: int) -> list[job_pb2.JobEvent]:
    """Return one message full of events from index `start` on, for a watcher that has `after`.

    Each stands for all sequences since the one before it. Stored events are never changed.
    """
    batch: list[job_pb2.JobEvent] = []
    size = 0
    for event in events[start : start + 4 * BATCH_EVENTS_MAX]:
        if batch and _joins(batch[-1], event):
            batch[-1] = _joined(batch[-1], event)
        else:
            size += event.ByteSize()
            if batch and (len(batch) == BATCH_EVENTS_MAX or size > BATCH_BYTES_MAX):
                break
            batch.append(_since(event, after + 1))
        after = event.sequence
    return batch


def fold(events: Sequence[job_pb2.JobEvent], count: int) -> tuple[list[job_pb2.JobEvent], int]:
    """Fold the oldest `count` narrations without progress into one that tells how many.

    Returns:
        the events that stay, and by how many narrations they are fewer.
    """
    folded: set[int] = set()
    total = 0
    for event in events:
        if len(folded) == count:
            break
        if event.HasField("narration") and not event.narration.HasField("progress"):
            folded.add(event.sequence)
            total += _count(event)
    if not folded:
        return list(events), 0
    last = max(folded)
    kept: list[job_pb2.JobEvent] = []
    for event in events:
        if event.sequence == last:
            kept.append(_folded(event, total))
        elif event.sequence not in folded:
            kept.append(event)
    return kept, len(folded) - 1


def _count(event: job_pb2.JobEvent) -> int:
    for field in event.narration.fields:
        if field.name == FOLDED_FIELD:
            return field.integer
    return 1


def _folded(last: job_pb2.JobEvent, count: int) -> job_pb2.JobEvent:
    event = job_pb2.JobEvent(
        sequence=last.sequence, first_sequence=last.first_sequence, create_time=last.create_time
    )
    event.narration.CopyFrom(
        narration_pb2.NarrationEvent(
            actor="rbee",
            action="folded",
            human=f"{count} earlier narrations are left out",
            level=narration_pb2.NARRATION_LEVEL_WARN,
            fields=[narration_pb2.NarrationField(name=FOLDED_FIELD, integer=count)],
            create_time=last.create_time,
        )
    )
    return event


def _since(event: job_pb2.JobEvent, first: int) -> job_pb2.JobEvent:
    if event.first_sequence == first:
        return event
    copy = job_pb2.JobEvent()
    copy.CopyFrom(event)
    copy.first_sequence = first
    return copy


def _joins(event: job_pb2.JobEvent, following: job_pb2.JobEvent) -> bool:
    return (
        event.HasField("completion")
        and following.HasField("completion")
        and event.completion.index == following.completion.index
        and len(event.completion.token_ids) + len(following.completion.token_ids)
        <= MERGED_TOKENS_MAX
    )


def _joined(event: job_pb2.JobEvent, following: job_pb2.JobEvent) -> job_pb2.JobEvent:
    joined = job_pb2.JobEvent()
    joined.CopyFrom(event)
    joined.sequence = following.sequence
    joined.completion.text += following.completion.text
    joined.completion.token_ids.extend(following.completion.token_ids)
    joined.completion.logprobs.extend(following.completion.logprobs)
    return joined
