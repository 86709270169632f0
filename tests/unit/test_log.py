import asyncio
import threading
import time
from contextlib import aclosing

import pytest

from rbee.v1 import inference_pb2, job_pb2, operation_pb2
from rbee_shared.errors import NotFoundError
from rbee_shared.jobs.log import JobLog
from rbee_shared.narration.event import Level, Narration, Progress

Events = list[job_pb2.JobEvent]


def no_pause() -> float:
    return 0.0


def told(human: str, *, progress: int | None = None, target: str = "t") -> Narration:
    step = None if progress is None else Progress(progress, 100)
    return Narration("hive", "step", human, time.time(), target=target, progress=step)


def tokens(text: str, *token_ids: int) -> inference_pb2.Completion:
    return inference_pb2.Completion(text=text, token_ids=token_ids)


async def watched(log: JobLog, after: int = 0) -> Events:
    seen: Events = []
    async with aclosing(log.follow(after, no_pause)) as batches:
        async for events in batches:
            seen.extend(events)
    return seen


def assert_whole(events: Events, after: int = 0) -> None:
    for event in events:
        assert event.first_sequence == after + 1
        after = event.sequence


def humans(events: Events) -> list[str]:
    return [event.narration.human for event in events if event.HasField("narration")]


def all_of(log: JobLog) -> Events:
    seen: Events = []
    while events := log.read(seen[-1].sequence if seen else 0):
        seen.extend(events)
    return seen


async def test_watchers_see_the_same_whenever_they_come() -> None:
    log = JobLog()
    log.narrate(told("one"))
    async with asyncio.TaskGroup() as tasks:
        early = tasks.create_task(watched(log))
        await asyncio.sleep(0)
        log.complete(tokens("a", 1))
        middle = tasks.create_task(watched(log))
        await asyncio.sleep(0)
        log.narrate(told("two"))
        log.result(operation_pb2.Result())
        log.state(job_pb2.JOB_STATE_COMPLETED)
    late = await watched(log)
    assert early.result() == middle.result() == late
    assert humans(late) == ["one", "two"]
    assert late[-1].state.state == job_pb2.JOB_STATE_COMPLETED
    assert_whole(late)


async def test_a_watcher_resumes_where_it_was() -> None:
    log = JobLog()
    for number in range(10):
        log.narrate(told(str(number)))
    log.state(job_pb2.JOB_STATE_COMPLETED)
    for after in range(11):
        events = await watched(log, after)
        assert_whole(events, after)
        assert humans(events) == [str(n) for n in range(after, 10)]
    assert await watched(log, 11) == []


async def test_nothing_is_said_after_the_end() -> None:
    log = JobLog()
    log.state(job_pb2.JOB_STATE_FAILED, NotFoundError("no `x`"))
    log.narrate(told("late"))
    log.narrate(told("late", progress=1))
    log.complete(tokens("late", 1))
    log.state(job_pb2.JOB_STATE_COMPLETED)
    events = await watched(log)
    assert [event.state.error.message for event in events] == ["no `x`"]
    assert log.ended


async def test_a_newer_progress_takes_the_place_of_an_older_one() -> None:
    log = JobLog()
    log.narrate(told("before"))
    for done in range(100):
        log.narrate(told(f"{done} %", progress=done))
        log.narrate(told(f"other {done} %", progress=done, target="other"))
    events = all_of(log)
    assert humans(events) == ["before", "99 %", "other 99 %"]
    assert_whole(events)
    assert log.last_sequence == 201
    for after in range(0, 201, 13):
        assert_whole(log.read(after), after)


async def test_the_log_is_bounded_and_says_what_is_left_out() -> None:
    log = JobLog(narrations_max=100)
    log.state(job_pb2.JOB_STATE_QUEUED)
    for number in range(1000):
        log.narrate(told(str(number)))
        assert len(log.read(0)) <= 102
    events = all_of(log)
    assert_whole(events)
    folded = int(humans(events)[0].split()[0])
    assert humans(events)[1:] == [str(n) for n in range(folded, 1000)]


@pytest.mark.parametrize("narrations_max", [1, 2, 3, 10])
async def test_the_smallest_bounds_hold(narrations_max: int) -> None:
    log = JobLog(narrations_max=narrations_max)
    for number in range(50):
        log.narrate(told(str(number)))
        assert len(all_of(log)) <= narrations_max
    assert_whole(all_of(log))


async def test_progress_of_ever_new_steps_is_bounded_too() -> None:
    log = JobLog(narrations_max=100)
    for number in range(1000):
        log.narrate(told(str(number), progress=1, target=f"t{number}"))
    assert len(all_of(log)) <= 100
    assert_whole(all_of(log))


async def test_a_step_that_was_folded_goes_on() -> None:
    log = JobLog(narrations_max=10)
    for number in range(40):
        log.narrate(told(str(number), progress=1, target=f"t{number % 20}"))
        assert len(all_of(log)) <= 10
    events = all_of(log)
    assert_whole(events)
    assert "earlier narrations" in humans(events)[0]


async def test_a_watcher_that_was_lapped_misses_nothing_unsaid() -> None:
    log = JobLog(narrations_max=10)
    log.narrate(told("first"))
    (first,) = log.read(0)
    for number in range(100):
        log.narrate(told(str(number)))
    events = log.read(first.sequence)
    assert_whole(events, first.sequence)
    assert "earlier narrations are left out" in humans(events)[0]


async def test_threads_may_tell_and_their_order_is_kept() -> None:
    log = JobLog()

    def work() -> None:
        for number in range(100):
            log.narrate(told(str(number)))
        log.complete(tokens("x", 1))

    await asyncio.to_thread(work)
    log.state(job_pb2.JOB_STATE_COMPLETED)
    events = await watched(log)
    assert humans(events) == [str(n) for n in range(100)]
    assert events[-2].completion.text == "x"


def test_a_thread_that_outlives_the_loop_is_not_hurt() -> None:
    async def make() -> JobLog:
        return JobLog()

    log = asyncio.run(make())
    errors: list[Exception] = []

    def work() -> None:
        try:
            log.narrate(told("late"))
        except RuntimeError as error:
            errors.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join(5)
    assert errors == []


async def test_what_was_told_last_is_for_people() -> None:
    log = JobLog()
    log.narrate(told("loading"))
    log.narrate(Narration("w-1", "output", "some raw line", 1.0, level=Level.DEBUG))
    assert log.last_told == "loading"


async def test_many_events_stay_fast() -> None:
    log = JobLog()
    begin = time.perf_counter()
    for number in range(10_000):
        log.narrate(told("x", progress=number, target=f"t{number % 3}"))
        log.narrate(told("y"))
        log.complete(tokens("z", number))
    appended_s = time.perf_counter() - begin
    begin = time.perf_counter()
    assert_whole(all_of(log))
    assert appended_s < 3.0
    assert time.perf_counter() - begin < 2.0


async def test_a_pace_makes_messages_fuller() -> None:
    log = JobLog()
    log.narrate(told("one"))
    sizes: list[int] = []

    def pause() -> float:
        log.narrate(told("more"))
        log.narrate(told("more"))
        if len(sizes) == 3:
            log.state(job_pb2.JOB_STATE_COMPLETED)
        return 1e-6

    async with aclosing(log.follow(0, pause)) as batches:
        async for events in batches:
            sizes += [len(events)]
    assert sizes == [1, 2, 2, 3]
