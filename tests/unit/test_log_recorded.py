"""A log that is written down, and one that was."""

import asyncio

from rbee.v1 import inference_pb2, job_pb2
from rbee_shared.jobs.log import JobLog
from rbee_shared.narration.event import Level, Narration
from tests.journals import followed, humans, read, said, text_of, whole


def tokens(text: str, *token_ids: int) -> inference_pb2.Completion:
    return inference_pb2.Completion(text=text, token_ids=token_ids)


async def test_a_recorded_log_announces_what_it_is_told_to() -> None:
    log, stirred = JobLog(), list[int]()
    log.record(lambda: stirred.append(log.last_sequence))
    for number in range(5):
        log.complete(tokens(f"{number} ", number))
    assert stirred == [1, 2, 3, 4, 5]
    assert log.read(0) == []
    changes = log.changes()
    assert (changes.upto, changes.removed) == (5, [])
    assert [(event.first_sequence, event.sequence) for event in changes.events] == [(1, 5)]
    assert log.read(0) == []
    log.complete(tokens("5 ", 5))
    log.announce(changes.upto)
    assert [event.completion.text for event in log.read(0)] == ["0 1 2 3 4 "]
    assert [event.completion.text for event in log.changes().events] == ["5 "]
    assert log.changes().events == []


async def test_changes_are_at_most_one_message() -> None:
    log = JobLog()
    log.record(lambda: None)
    for number in range(600):
        log.narrate(said(str(number)))
    sizes: list[int] = []
    while events := log.changes().events:
        sizes.append(len(events))
        log.announce(events[-1].sequence)
    assert sizes == [256, 256, 88]
    assert humans(read(log)) == [str(number) for number in range(600)]


async def test_changes_tell_what_is_gone_and_what_says_something_else() -> None:
    log = JobLog(narrations_max=4)
    log.record(lambda: None)
    log.narrate(said("1 %", progress=1))
    for number in range(3):
        log.narrate(said(str(number)))
    log.announce(log.changes().upto)
    log.narrate(said("2 %", progress=2))
    assert log.changes().removed == [1]
    log.narrate(said("3"))
    changes = log.changes()
    assert changes.removed == [2]
    assert humans(changes.events) == ["2 earlier narrations are left out", "3"]
    assert [event.sequence for event in changes.events] == [3, 6]


async def test_a_restored_log_goes_on_where_it_was() -> None:
    first = JobLog()
    first.state(job_pb2.JOB_STATE_QUEUED)
    first.heard("attic", 4)
    first.narrate(said("1 %", progress=1))
    first.narrate(Narration("w-1", "output", "some raw line", 1.0, level=Level.DEBUG))
    second = JobLog(events=first.read(0), hive="attic")
    assert (second.last_sequence, second.origin) == (3, ("attic", 4))
    assert second.last_told == "1 %"
    assert not second.ended
    second.narrate(said("2 %", progress=2))
    assert humans(read(second)) == ["some raw line", "2 %"]
    second.state(job_pb2.JOB_STATE_COMPLETED)
    third = JobLog(events=read(second))
    third.narrate(said("late"))
    assert third.ended
    assert await followed(third) == read(second)


async def test_watchers_of_an_answer_that_is_forgotten_are_said() -> None:
    log = JobLog()
    log.complete(tokens("a", 1))
    async with asyncio.timeout(5), asyncio.TaskGroup() as tasks:
        early = tasks.create_task(followed(log))
        await asyncio.sleep(0)
        log.narrate(said("between"))
        await asyncio.sleep(0)
        log.complete(tokens("b", 2))
        log.complete(tokens("c", 3))
        log.state(job_pb2.JOB_STATE_COMPLETED)
        log.forget_texts()
    seen = early.result()
    whole(seen)
    forgotten = "the text of the answer is not kept any more"
    assert humans(seen) == ["between", forgotten]
    assert "".join(event.completion.text for event in seen) == "a"
    for after in range(log.last_sequence):
        late = await followed(log, after)
        whole(late, after)
        assert (forgotten in humans(late)) == (after < 4)
    log.forget_texts()
    assert await followed(log) == await followed(log)


async def test_forgetting_is_recorded_once() -> None:
    log, stirred = JobLog(), list[int]()
    log.record(lambda: stirred.append(log.last_sequence))
    log.complete(tokens("a", 1))
    log.announce(log.changes().upto)
    log.narrate(said("between"))
    log.complete(tokens("b", 2))
    log.announce(log.changes().upto)
    log.state(job_pb2.JOB_STATE_COMPLETED)
    assert text_of(read(log)) == "ab"
    log.forget_texts()
    log.forget_texts()
    assert text_of(read(log)) == ""  # at once, also for who shares what others read
    assert len(stirred) == 5
    changes = log.changes()
    assert changes.removed == [1]
    assert [event.sequence for event in changes.events] == [3, 4]
    assert "not kept any more" in humans(changes.events)[0]
