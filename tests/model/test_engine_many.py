"""Ten thousand requests: each ends once, whatever becomes of it, and nothing stays behind."""

import asyncio
import gc
import random
import threading
from collections import Counter
from contextlib import aclosing
from pathlib import Path

import psutil
import pytest

from rbee_shared.errors import RbeeError
from rbee_worker.engine.engine import Engine
from rbee_worker.engine.preparing import PromptTooLongError
from rbee_worker.engine.request import Request
from rbee_worker.sampling.params import SamplingParams
from tests.model.asking import answers_of, asked, idle, opened
from tests.model.tiny import CONTEXT

pytestmark = [pytest.mark.model, pytest.mark.timeout(180)]

WARM_UP, COUNT = 1_000, 10_000
CLIENTS = 24  # at once: some wait for a place
TOKENS_MAX = 6
PROMPT_MAX = 60
TOO_LONG_SHARE, LEAVE_SHARE, BREAK_SHARE = 0.02, 0.15, 0.15
GROWTH_BYTES_MAX = 8 * 2**20
# a few, because the tokenizer's library remembers some ten thousand of them
WORDS = ["".join(random.Random(n).choices("abcdefgh", k=1 + n % 7)) for n in range(200)]


def some_request(chance: random.Random) -> Request:
    sampling = SamplingParams(
        temperature=chance.choice((0, 1)),
        seed=chance.randrange(2**32),
        max_tokens=chance.randint(1, TOKENS_MAX),
        stop=chance.choice(((), tuple("etaoin"))),
        top_p=chance.choice((1, 0.9)),
        n=chance.choice((1, 1, 1, 1, 2)),
    )
    length = 2 * CONTEXT if chance.random() < TOO_LONG_SHARE else chance.randint(1, PROMPT_MAX)
    return asked(" ".join(chance.choices(WORDS, k=length))[:length], sampling)


async def fate(engine: Engine, request: Request, chance: random.Random) -> str:
    """Ask, and perhaps leave: from outside at some moment, or after some pieces."""
    share = chance.random()
    try:
        if share < LEAVE_SHARE:
            async with asyncio.timeout(chance.choice((0, 0.0005, 0.002))):
                await answers_of(engine, request)
        elif share < LEAVE_SHARE + BREAK_SHARE:
            return await part_of(engine, request, chance.randint(1, TOKENS_MAX))
        else:
            await answers_of(engine, request)
    except TimeoutError:
        return "left"
    except RbeeError as error:
        return error.reason
    return "ended"


async def part_of(engine: Engine, request: Request, pieces: int) -> str:
    async with aclosing(engine.generate(request)) as outputs:
        async for _ in outputs:
            pieces -= 1
            if not pieces:
                return "left"
    return "ended"


async def many(engine: Engine, count: int, seed: int) -> Counter[str]:
    fates: Counter[str] = Counter()

    async def client(number: int) -> None:
        chance = random.Random(f"{seed}/{number}")
        for _ in range(number, count, CLIENTS):
            fates[await fate(engine, some_request(chance), chance)] += 1

    async with asyncio.TaskGroup() as group:
        for number in range(CLIENTS):
            group.create_task(client(number))
    await idle(engine)
    return fates


async def test_ten_thousand_requests_leave_nothing_behind(tiny_model: Path) -> None:
    process = psutil.Process()
    async with opened(tiny_model) as engine:
        await many(engine, WARM_UP, seed=1)
        gc.collect()
        memory, threads = process.memory_info().rss, threading.active_count()
        system_threads = process.num_threads()
        fates = await many(engine, COUNT, seed=2)
        gc.collect()
        assert fates.total() == COUNT
        assert set(fates) == {"ended", "left", PromptTooLongError.reason}
        assert asyncio.all_tasks() == {asyncio.current_task()}
        assert (threading.active_count(), process.num_threads()) == (threads, system_threads)
        assert process.memory_info().rss - memory < GROWTH_BYTES_MAX
