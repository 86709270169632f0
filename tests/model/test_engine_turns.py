"""Whose turn it is, and the numbers that tell it: places, prompts in pieces, priority, usage."""

import asyncio
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path

import pytest

from rbee_worker.engine.request import Priority
from rbee_worker.sampling.params import SamplingParams
from tests.model.asking import DEADLINE_S, answer_of, asked, begin, idle, opened, until

pytestmark = [pytest.mark.model, pytest.mark.timeout(120)]

LONG_PROMPT = "A" * 4_000
TOKENS_MEANWHILE_MIN = 5  # of another answer, while the long prompt is read
TOKENS = 12
SHORT = asked("A", SamplingParams(temperature=0, max_tokens=TOKENS, ignore_eos=True))


async def test_a_long_prompt_is_read_between_the_tokens_of_others(tiny_endless: Path) -> None:
    long = asked(LONG_PROMPT, SamplingParams(temperature=0, max_tokens=1))
    async with opened(tiny_endless) as engine, AsyncExitStack() as opens:
        await begin(engine, "B", opens)
        before = engine.load.token_count
        await answer_of(engine, long)
        assert engine.load.token_count - before > TOKENS_MEANWHILE_MIN


async def test_a_short_prompt_does_not_wait_for_long_ones(tiny_endless: Path) -> None:
    ends: list[str] = []
    async with opened(tiny_endless) as engine, asyncio.timeout(DEADLINE_S):

        async def note(name: str, prompt: str) -> None:
            await answer_of(engine, replace(SHORT, prompt=prompt))
            ends.append(name)

        async with asyncio.TaskGroup() as group:
            for letter in "CDE":
                group.create_task(note("long", letter + LONG_PROMPT[:2_000]))
            group.create_task(note("short", "A"))
    assert ends.index("short") < len(ends) - 1


async def test_a_person_goes_before_a_batch(tiny_endless: Path) -> None:
    ends: list[Priority] = []
    async with opened(tiny_endless, slots=1) as engine, AsyncExitStack() as opens:

        async def note(priority: Priority) -> None:
            await answer_of(engine, replace(SHORT, priority=priority))
            ends.append(priority)

        await begin(engine, "B", opens)
        async with asyncio.TaskGroup() as group:
            for count in range(1, 4):
                group.create_task(note(Priority.BATCH))
                await until(lambda count=count: engine.load.waiting == count)
            group.create_task(note(Priority.INTERACTIVE))
            await until(lambda: engine.load.waiting == 4)
            await opens.aclose()
    assert ends == [Priority.INTERACTIVE, *[Priority.BATCH] * 3]


async def test_the_load_tells_what_is_being_done(tiny_endless: Path) -> None:
    async with opened(tiny_endless, slots=3) as engine:
        async with AsyncExitStack() as opens:
            await begin(engine, "B", opens)
            await begin(engine, "C", opens)
            await answer_of(engine, SHORT)
            assert engine.load.running >= 2
            assert engine.load.waiting == 0
            assert 0 < engine.load.cache_usage <= 1
            await until(lambda: engine.load.tokens_per_second > 0)
        await idle(engine)
        await until(lambda: engine.load.tokens_per_second == 0)


async def test_the_usage_tells_what_an_answer_cost(tiny_endless: Path) -> None:
    async with opened(tiny_endless, slots=1) as engine, AsyncExitStack() as opens:
        await begin(engine, "B", opens)
        work = asyncio.ensure_future(answer_of(engine, SHORT))
        await until(lambda: engine.load.waiting == 1)
        await opens.aclose()
        usage = (await work).usage
    assert usage is not None
    assert (usage.prompt_tokens, usage.completion_tokens, usage.cached_tokens) == (1, TOKENS, 0)
    assert 0 < usage.queue_s < usage.first_token_s < usage.total_s
    assert 0 < usage.interval_s <= usage.interval_s_max < usage.total_s
