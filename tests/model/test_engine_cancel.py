"""Leaving: at whatever point a request goes, the others do not notice and its place is free."""

import asyncio
import random
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from rbee_worker.engine.engine import Engine
from rbee_worker.engine.request import Request
from rbee_worker.sampling.params import SamplingParams
from tests.model.asking import (
    DEADLINE_S,
    Mark,
    alone,
    answer_of,
    answers_of,
    asked,
    begin,
    idle,
    opened,
)

pytestmark = [pytest.mark.model, pytest.mark.timeout(120)]

TOKENS = 80
LEAVERS = 12
STAY_MAX = 6  # pieces of another answer between coming and leaving
LONG = "a long prompt, read in several steps; " * 11
STEPS_MAX = 50  # a leaver's steps that may pass until the engine's thread hears of it
WITNESSES = [
    asked("A", SamplingParams(temperature=0, max_tokens=TOKENS, ignore_eos=True)),
    asked("B" + LONG, SamplingParams(seed=1, max_tokens=TOKENS)),
    asked("C", SamplingParams(seed=2, max_tokens=TOKENS, logprobs=5)),
    asked("D" + LONG[:90], SamplingParams(seed=3, max_tokens=TOKENS, top_p=0.9)),
]
LEAVING = [
    asked("E" + LONG, SamplingParams(temperature=0)),
    asked("F" + LONG, SamplingParams(seed=4, n=3)),
    asked("G", SamplingParams(seed=5, ignore_eos=True)),
    asked("H" + LONG[:70], SamplingParams(seed=6, n=2, ignore_eos=True)),
]


async def leave(engine: Engine, request: Request, comes: Mark, goes: Mark) -> None:
    """Send a request at one place of another answer, and leave it at a later one."""
    await comes.passed.wait()
    work = asyncio.ensure_future(answers_of(engine, request))
    await asyncio.sleep(0)  # it is sent in its first turn
    await goes.passed.wait()
    work.cancel()
    await asyncio.wait([work])


def places(chance: random.Random) -> list[tuple[Mark, Mark]]:
    """Return when each of the leavers comes and goes."""
    comes = [chance.randint(1, TOKENS - STAY_MAX) for _ in range(LEAVERS)]
    return [(Mark(come), Mark(come + chance.randint(0, STAY_MAX))) for come in comes]


async def witnessed(engine: Engine, stays: Sequence[tuple[Mark, Mark]]) -> list[object]:
    marks = [mark for stay in stays for mark in stay]
    async with asyncio.timeout(DEADLINE_S), asyncio.TaskGroup() as group:
        works = [
            group.create_task(answers_of(engine, request, () if at else marks))
            for at, request in enumerate(WITNESSES)
        ]
        for at, stay in enumerate(stays):
            group.create_task(leave(engine, LEAVING[at % len(LEAVING)], *stay))
    return [work.result() for work in works]


@pytest.mark.parametrize("seed", range(8))
async def test_who_leaves_at_any_point_changes_nobody_else(tiny_model: Path, seed: int) -> None:
    async with opened(tiny_model) as engine:
        expected = await alone(engine, WITNESSES)
    async with opened(tiny_model) as engine:
        assert await witnessed(engine, places(random.Random(seed))) == expected
        await idle(engine)


async def test_a_place_is_given_back_each_time(tiny_model: Path) -> None:
    async with opened(tiny_model, slots=2) as engine:
        for _ in range(30):
            async with AsyncExitStack() as opens:
                await begin(engine, "A", opens)
                await begin(engine, "B" + LONG, opens)
                assert engine.load.running == 2
        await idle(engine)


async def test_the_next_in_line_takes_the_place_of_who_leaves(tiny_endless: Path) -> None:
    short = asked("B", SamplingParams(temperature=0, max_tokens=3, ignore_eos=True))
    async with opened(tiny_endless, slots=1) as engine:
        async with AsyncExitStack() as opens, asyncio.TaskGroup() as group:
            await begin(engine, "A", opens)
            works = [group.create_task(answer_of(engine, short)) for _ in range(3)]
            await asyncio.sleep(0)
            works[0].cancel()
            await opens.aclose()
        assert [len(work.result().tokens) for work in works[1:]] == [3, 3]
        await idle(engine)


async def test_who_leaves_while_waiting_was_never_worked_on(tiny_endless: Path) -> None:
    async with opened(tiny_endless, slots=1) as engine, AsyncExitStack() as opens:
        await begin(engine, "A", opens)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0):
                await answer_of(engine, asked("B", SamplingParams()))
        await opens.aclose()
        await idle(engine)


async def test_a_deadline_ends_the_work_between_two_steps(tiny_endless: Path) -> None:
    endless = asked("A", SamplingParams(temperature=0, ignore_eos=True))
    async with opened(tiny_endless) as engine:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await answer_of(engine, endless)
        done = engine.load.token_count
        await idle(engine)
        assert engine.load.token_count <= done + STEPS_MAX
