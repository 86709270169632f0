import pytest

from rbee.v1 import inference_pb2, job_pb2, narration_pb2, operation_pb2
from rbee_shared.jobs.merge import fold, gather, holds_text, is_ended, without_texts
from rbee_shared.limits import BATCH_BYTES_MAX, BATCH_EVENTS_MAX, MERGED_TOKENS_MAX

Events = list[job_pb2.JobEvent]


def token(sequence: int, *, index: int = 0, text: str = "") -> job_pb2.JobEvent:
    completion = inference_pb2.Completion(
        text=text or f"{sequence} ", token_ids=[sequence], index=index
    )
    return job_pb2.JobEvent(sequence=sequence, first_sequence=sequence, completion=completion)


def told(sequence: int, *, progress: bool = False, human: str = "x") -> job_pb2.JobEvent:
    narration = narration_pb2.NarrationEvent(actor="a", action="b", human=human)
    if progress:
        narration.progress.done = sequence
    return job_pb2.JobEvent(sequence=sequence, first_sequence=sequence, narration=narration)


def state(sequence: int, state: job_pb2.JobState.ValueType) -> job_pb2.JobEvent:
    change = job_pb2.JobStateChange(state=state)
    return job_pb2.JobEvent(sequence=sequence, first_sequence=sequence, state=change)


def with_gaps(count: int, stride: int) -> Events:
    """Events of every kind; some sequences are missing, as after replaced progress."""
    kinds = "tttttnpi-"
    events: Events = []
    for sequence in range(1, count + 1):
        kind = kinds[sequence * sequence * stride % 101 % len(kinds)]
        if kind == "n":
            events.append(told(sequence))
        elif kind == "p":
            events.append(told(sequence, progress=True))
        elif kind in "ti":
            events.append(token(sequence, index=int(kind == "i")))
    return events


def copies(events: Events) -> list[bytes]:
    return [event.SerializeToString(deterministic=True) for event in events]


def index_after(events: Events, after: int) -> int:
    return sum(event.sequence <= after for event in events)


@pytest.mark.parametrize("stride", [1, 3, 7, 12, 30])
def test_ranges_join_without_a_gap_from_any_cursor(stride: int) -> None:
    events = with_gaps(300, stride)
    before = copies(events)
    for cursor in range(0, events[-1].sequence, 7):
        after, texts = cursor, {0: "", 1: ""}
        while batch := gather(events, index_after(events, after), after=after):
            assert len(batch) <= BATCH_EVENTS_MAX
            for event in batch:
                assert event.first_sequence == after + 1
                assert event.sequence >= event.first_sequence
                after = event.sequence
                if event.HasField("completion"):
                    texts[event.completion.index] += event.completion.text
        assert after == events[-1].sequence
        for index in (0, 1):
            assert texts[index] == "".join(
                event.completion.text
                for event in events
                if event.sequence > cursor
                and event.HasField("completion")
                and event.completion.index == index
            )
    assert copies(events) == before


def test_neighbouring_tokens_of_one_answer_are_merged() -> None:
    merged = gather([token(1), token(2), token(3), told(4), token(5)], 0, after=0)
    assert [(event.first_sequence, event.sequence) for event in merged] == [(1, 3), (4, 4), (5, 5)]
    assert merged[0].completion.text == "1 2 3 "
    assert list(merged[0].completion.token_ids) == [1, 2, 3]


def test_two_answers_are_never_merged() -> None:
    assert len(gather([token(1), token(2, index=1), token(3)], 0, after=0)) == 3


def test_a_merged_event_has_so_many_tokens() -> None:
    merged = gather([token(n) for n in range(1, 3 * MERGED_TOKENS_MAX)], 0, after=0)
    assert [len(event.completion.token_ids) for event in merged] == [256, 256, 255]


def test_a_message_has_so_many_events() -> None:
    events = [told(n) for n in range(1, 1000)]
    assert len(gather(events, 0, after=0)) == BATCH_EVENTS_MAX


def test_a_message_has_so_many_bytes_merged_or_not() -> None:
    for events in (
        [told(n, human="x" * 2000) for n in range(1, 1000)],
        [token(n, text="x" * 2000) for n in range(1, 1000)],
    ):
        batch = gather(events, 0, after=0)
        assert 0 < sum(event.ByteSize() for event in batch) <= BATCH_BYTES_MAX


def test_an_event_larger_than_a_message_goes_alone() -> None:
    events = [told(1), token(2, text="x" * 2 * BATCH_BYTES_MAX), told(3)]
    assert [len(gather(events, n, after=n)) for n in range(3)] == [1, 1, 1]


def test_old_narrations_fold_into_one_that_tells_how_many() -> None:
    events = [told(n) for n in range(1, 11)]
    kept, folded = fold(events, 4)
    assert folded is kept[0]
    assert [event.sequence for event in kept] == list(range(4, 11))
    assert kept[0].narration.human == "4 earlier narrations are left out"


def test_folding_again_counts_them_all() -> None:
    events = [told(n) for n in range(1, 101)]
    for _ in range(30):
        events, _ = fold(events, 4)
    assert events[0].narration.human == "91 earlier narrations are left out"
    assert len(events) == 10


def test_what_is_no_narration_is_never_folded_and_progress_only_in_need() -> None:
    first = state(1, job_pb2.JOB_STATE_QUEUED)
    events = [first, told(2, progress=True), told(3), token(4), told(5), told(6)]
    kept, _ = fold(events, 3)
    assert [event.sequence for event in kept] == [1, 2, 4, 6]
    kept, _ = fold(kept, 2)
    assert [event.sequence for event in kept] == [1, 4, 6]
    assert kept[-1].narration.human == "4 earlier narrations are left out"


def test_another_hop_s_count_is_believed_within_bounds() -> None:
    kept, _ = fold([told(n) for n in range(1, 5)], 4)
    hostile = kept[0]
    hostile.narration.fields[0].integer = 2**63 - 1
    twice, _ = fold([hostile, told(5), told(6)], 3)
    assert 2 < twice[0].narration.fields[0].integer < 2**41


def test_nothing_to_fold_changes_nothing() -> None:
    events = [token(1), token(2)]
    assert fold(events, 2) == (events, None)


@pytest.mark.parametrize(
    ("value", "ended"),
    [
        (job_pb2.JOB_STATE_QUEUED, False),
        (job_pb2.JOB_STATE_RUNNING, False),
        (job_pb2.JOB_STATE_COMPLETED, True),
        (job_pb2.JOB_STATE_FAILED, True),
        (job_pb2.JOB_STATE_CANCELLED, True),
    ],
)
def test_three_states_end_a_job(value: job_pb2.JobState.ValueType, *, ended: bool) -> None:
    assert is_ended(state(1, value)) == ended
    assert not is_ended(told(1))


def test_for_a_recorder_each_event_stands_for_what_it_says() -> None:
    events = gather([told(3), token(7), token(9), told(12)], 0)
    assert [(event.first_sequence, event.sequence) for event in events] == [
        (3, 3),
        (7, 9),
        (12, 12),
    ]


def test_merged_tokens_that_say_more_than_was_asked_for_say_so() -> None:
    (merged,) = gather([token(5), token(6), token(7)], 0)
    (whole,) = gather([merged], 0, after=4)
    (inside,) = gather([merged], 0, after=5)
    (later,) = gather([merged], 0, after=2)
    assert [event.first_sequence for event in (whole, inside, later)] == [5, 5, 3]


def test_a_result_stays_without_what_was_made_of_the_prompt() -> None:
    infer = operation_pb2.InferResult(seed=7)
    call = inference_pb2.ToolCall(id="c", name="f", arguments="secret")
    infer.finishes.add(reason=inference_pb2.FINISH_REASON_TOOL_CALLS, tool_calls=[call])
    embed = operation_pb2.EmbedResult(model="m")
    embed.embeddings.add(values=[1.0])
    called = job_pb2.JobEvent(sequence=1, result=operation_pb2.Result(infer=infer))
    vectors = job_pb2.JobEvent(sequence=2, result=operation_pb2.Result(embed=embed))
    plain = job_pb2.JobEvent(
        sequence=3, result=operation_pb2.Result(infer=operation_pb2.InferResult(seed=8))
    )
    assert [holds_text(each) for each in (called, vectors, plain, told(4))] == [
        *(True, True),
        *(False, False),
    ]
    kept = without_texts([called, vectors, plain])
    assert kept[0].result.infer.finishes[0].tool_calls[0] == inference_pb2.ToolCall(
        id="c", name="f"
    )
    assert kept[1].result.embed == operation_pb2.EmbedResult(model="m")
    assert kept[2] is plain
    assert vectors.result.embed.embeddings


def test_one_narration_takes_the_place_of_all_tokens() -> None:
    events = [token(1), told(2), token(3), state(4, job_pb2.JOB_STATE_COMPLETED)]
    kept = without_texts(events)
    assert [event.sequence for event in kept] == [2, 3, 4]
    assert kept[1].narration.human == "the text of the answer is not kept any more"
    assert without_texts(kept) == kept
