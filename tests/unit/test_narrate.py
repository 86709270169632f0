import asyncio
from collections.abc import AsyncGenerator
from contextvars import copy_context
from typing import Any

import pytest

from rbee_shared.jobs.self_check import self_check
from rbee_shared.narration.context import JOB, NO_JOB, JobContext, current
from rbee_shared.narration.event import Level, Narration, Progress
from rbee_shared.narration.narrate import add_sink, emit, narrate, tell_completion


class Told:
    """A story that remembers."""

    def __init__(self) -> None:
        self.narrations: list[Narration] = []
        self.completions: list[Any] = []

    def narrate(self, narration: Narration) -> None:
        self.narrations.append(narration)

    def complete(self, completion: Any) -> None:
        self.completions.append(completion)

    def humans(self) -> list[str]:
        return [each.human for each in self.narrations]


@pytest.fixture(scope="module")
def daemon_tier() -> list[Narration]:
    told: list[Narration] = []
    add_sink(told.append)
    return told


async def test_everything_that_a_job_runs_tells_to_the_job() -> None:
    told = Told()
    JOB.set(JobContext("j-1", "c-1", story=told))

    async def child() -> None:
        narrate("a", "child")
        await asyncio.to_thread(narrate, "a", "thread")

    async def generator() -> AsyncGenerator[int]:
        narrate("a", "generator")
        yield 1

    narrate("a", "coroutine")
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(child())
    async for _ in generator():
        pass
    assert told.humans() == ["coroutine", "child", "thread", "generator"]
    assert {each.correlation_id for each in told.narrations} == {"c-1"}


async def test_the_self_check_tells_from_everywhere() -> None:
    told = Told()
    JOB.set(JobContext("j-1", story=told))
    checks = await self_check("hive")
    assert {each.target for each in told.narrations} == {
        "hive/coroutine", "hive/task", "hive/thread", "hive/generator",
    }  # fmt: skip
    assert {check.name: check.passed for check in checks}["hive story"]


def test_twenty_jobs_never_mix() -> None:
    stories = [Told() for _ in range(20)]

    async def job(number: int) -> None:
        JOB.set(JobContext(f"j-{number}", story=stories[number]))
        for _ in range(10):
            narrate("step", "{number}", number=number)
            await asyncio.to_thread(narrate, "step", str(number))
            await asyncio.sleep(0)

    async def all_of_them() -> None:
        async with asyncio.TaskGroup() as tasks:
            for number in range(20):
                tasks.create_task(job(number))
        assert current() == NO_JOB

    asyncio.run(all_of_them())
    assert [story.humans() for story in stories] == [[str(n)] * 20 for n in range(20)]


def test_a_job_that_is_unknown_here_is_told_nothing(daemon_tier: list[Narration]) -> None:
    def elsewhere() -> None:
        JOB.set(JobContext("j-elsewhere"))
        narrate("unknown_job", "nobody hears this")
        tell_completion(object())

    copy_context().run(elsewhere)
    assert "unknown_job" not in [each.action for each in daemon_tier]


def test_without_a_job_the_daemon_tells(daemon_tier: list[Narration]) -> None:
    narrate("daemon_start", "key=abc", level=Level.WARN, progress=Progress(1, 2))
    told = [each for each in daemon_tier if each.action == "daemon_start"]
    assert [(each.human, each.level) for each in told] == [("key=[REDACTED]", Level.WARN)]
    assert told[0].progress == Progress(1, 2)


def test_sentences_are_templates_over_the_fields() -> None:
    told = Told()

    def say() -> None:
        JOB.set(JobContext("j-1", story=told))
        narrate("a", "{n} of {m}", cute="{n}!", story="'{m}'", n=1, m="x\x1b[31m")
        narrate("a", "no {fields}")
        narrate("a", "with {api_key}", api_key="abc.def")
        emit(Narration("w\n1", "b", "\x1b[31mraw", 1.0))

    copy_context().run(say)
    first, second, third, fourth = told.narrations
    assert (first.human, first.cute, first.story) == ("1 of x", "1!", "'x'")
    assert first.fields == {"n": 1, "m": "x"}
    assert second.human == "no {fields}"
    assert third.human == "with [REDACTED]"
    assert (fourth.actor, fourth.human) == ("w_1", "raw")
