"""How events of a job's log become fewer: batches, merged tokens, folded narration. Pure."""

from collections.abc import Sequence
from itertools import islice

from rbee.v1 import job_pb2, narration_pb2
from rbee_shared.limits import BATCH_BYTES_MAX, BATCH_EVENTS_MAX, MERGED_TOKENS_MAX

TERMINAL = {
    job_pb2.JOB_STATE_COMPLETED,
    job_pb2.JOB_STATE_FAILED,
    job_pb2.JOB_STATE_CANCELLED,
}
FOLDED_ACTOR, FOLDED_ACTION, FOLDED_FIELD = "rbee", "folded", "folded_count"
FORGOTTEN_ACTION = "texts_forgotten"
FORGOTTEN = "the text of the answer is not kept any more"
FOLDED_MIN = 2
FOLDED_COUNT_MAX = 2**40  # of one event; the next hop may say anything


def is_ended(event: job_pb2.JobEvent) -> bool:
    """Whether this event ends a job."""
    return event.HasField("state") and event.state.state in TERMINAL


def is_folded(event: job_pb2.JobEvent) -> bool:
    """Whether this event stands for narrations that are left out."""
    narration = event.narration
    return (narration.actor, narration.action) == (FOLDED_ACTOR, FOLDED_ACTION)


def is_forgotten(event: job_pb2.JobEvent) -> bool:
    """Whether this event stands for tokens that are not kept."""
    narration = event.narration
    return (narration.actor, narration.action) == (FOLDED_ACTOR, FORGOTTEN_ACTION)


def gather(
    events: Sequence[job_pb2.JobEvent],
    start: int,
    *,
    after: int | None = None,
    end: int | None = None,
) -> list[job_pb2.JobEvent]:
    """Return one message full of events from index `start` to `end`. Stored ones never change.

    Each stands for all sequences since the one before it, the first for those since `after`; with
    None for a recorder, each for what it says itself.
    """
    batch: list[job_pb2.JobEvent] = []
    merging = False  # the last of the batch is a copy that takes in more
    size = 0
    for event in events[
        start : min(len(events) if end is None else end, start + 4 * BATCH_EVENTS_MAX)
    ]:
        joins = bool(batch) and _joins(batch[-1], event)
        size += event.ByteSize()
        if batch and (size > BATCH_BYTES_MAX or (not joins and len(batch) == BATCH_EVENTS_MAX)):
            break
        if joins:
            if not merging:
                batch[-1] = _copy(batch[-1])
            _join(batch[-1], event)
        else:
            batch.append(event if after is None else _since(event, after + 1))
        merging = joins
        after = None if after is None else event.sequence
    return batch


def fold(
    events: Sequence[job_pb2.JobEvent], count: int
) -> tuple[list[job_pb2.JobEvent], job_pb2.JobEvent | None]:
    """Fold the oldest `count` narrations into one that tells how many they were.

    Progress is spared as long as there are enough others: it says how far steps are now.

    Args:
        events: a log.
        count: at least `FOLDED_MIN`, so that the log gets shorter.

    Returns:
        the events that stay, and which of them tells how many are left out.
    """
    chosen = list(islice((event for event in events if _is_past(event)), count))
    if len(chosen) < count:
        chosen = list(islice((event for event in events if event.HasField("narration")), count))
    if not chosen:
        return list(events), None
    folded = {event.sequence for event in chosen}
    last = chosen[-1]
    one = _folded(last, sum(map(_count, chosen)))
    kept: list[job_pb2.JobEvent] = []
    for index, event in enumerate(events):
        if event is last:
            kept.append(one)
            kept.extend(events[index + 1 :])
            break
        if event.sequence not in folded:
            kept.append(event)
    return kept, one


def holds_text(event: job_pb2.JobEvent) -> bool:
    """Whether this event holds what was made of a prompt: tokens, calls of tools, vectors."""
    return event.HasField("completion") or _result_holds_text(event)


def without_texts(events: Sequence[job_pb2.JobEvent]) -> list[job_pb2.JobEvent]:
    """Return the events of an ended job with one narration in the place of all its tokens.

    Its result stays, without the arguments of calls and without vectors.
    """
    tokens = [event for event in events if event.HasField("completion")]
    kept = [
        _result_without_text(event) if _result_holds_text(event) else event
        for event in events
        if not event.HasField("completion")
    ]
    if tokens:
        kept.append(_told(tokens[-1], FORGOTTEN_ACTION, FORGOTTEN))
        kept.sort(key=lambda event: event.sequence)
    return kept


def _result_holds_text(event: job_pb2.JobEvent) -> bool:
    if not event.HasField("result"):
        return False
    finishes = event.result.infer.finishes
    return bool(event.result.embed.embeddings) or any(
        call.arguments for finish in finishes for call in finish.tool_calls
    )


def _result_without_text(event: job_pb2.JobEvent) -> job_pb2.JobEvent:
    copy = _copy(event)
    if copy.result.HasField("embed"):
        copy.result.embed.ClearField("embeddings")
    for finish in copy.result.infer.finishes:
        for call in finish.tool_calls:
            call.ClearField("arguments")
    return copy


def _is_past(event: job_pb2.JobEvent) -> bool:
    return event.HasField("narration") and not event.narration.HasField("progress")


def _count(event: job_pb2.JobEvent) -> int:
    if is_folded(event):
        for field in event.narration.fields:
            if field.name == FOLDED_FIELD:
                return max(1, min(field.integer, FOLDED_COUNT_MAX))
    return 1


def _folded(last: job_pb2.JobEvent, count: int) -> job_pb2.JobEvent:
    event = _told(last, FOLDED_ACTION, f"{count} earlier narrations are left out")
    event.narration.fields.add(name=FOLDED_FIELD, integer=count)
    return event


def _told(place: job_pb2.JobEvent, action: str, human: str) -> job_pb2.JobEvent:
    event = job_pb2.JobEvent(
        sequence=place.sequence,
        first_sequence=place.first_sequence,
        origin_sequence=place.origin_sequence,
        create_time=place.create_time,
    )
    event.narration.CopyFrom(
        narration_pb2.NarrationEvent(
            actor=FOLDED_ACTOR,
            action=action,
            human=human,
            level=narration_pb2.NARRATION_LEVEL_WARN,
            create_time=place.create_time,
        )
    )
    return event


def _since(event: job_pb2.JobEvent, first: int) -> job_pb2.JobEvent:
    if event.first_sequence == first or (
        event.HasField("completion") and event.first_sequence < first
    ):  # merged tokens say more than was asked for, and say so
        return event
    copy = _copy(event)
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


def _join(event: job_pb2.JobEvent, following: job_pb2.JobEvent) -> None:
    event.sequence = following.sequence
    event.origin_sequence = following.origin_sequence
    event.completion.text += following.completion.text
    event.completion.token_ids.extend(following.completion.token_ids)
    event.completion.logprobs.extend(following.completion.logprobs)


def _copy(event: job_pb2.JobEvent) -> job_pb2.JobEvent:
    copy = job_pb2.JobEvent()
    copy.CopyFrom(event)
    return copy
