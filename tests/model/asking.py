"""Asking an engine, once or many times at once, and all that comes back, to compare as a whole."""

import asyncio
import random
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from rbee_worker import device
from rbee_worker.engine.engine import Engine, opened_engine
from rbee_worker.engine.request import Logprobs, Output, Request, Usage
from rbee_worker.sampling.params import SamplingParams

SLOTS = 16
DEADLINE_S = 60
AHEAD_MAX = 8  # pieces of another answer that a request may wait for


@dataclass(slots=True)
class Answer:
    """One answer. What it cost is left out when answers are compared."""

    text: str = ""
    tokens: list[int] = field(default_factory=list[int])
    logprobs: list[Logprobs] = field(default_factory=list[Logprobs])
    end: tuple[int, str] | None = None  # the reason, and the stop string
    usage: Usage | None = field(default=None, compare=False)

    def take(self, output: Output) -> None:
        """Take in a piece, and insist that nothing follows an end."""
        assert self.end is None
        self.text += output.text
        self.tokens += output.token_ids
        self.logprobs += output.logprobs
        if output.finish is not None:
            self.end = (output.finish.reason, output.finish.stop)
            self.usage = output.finish.usage


@dataclass(slots=True)
class Mark:
    """A place of an answer: set when it has so many pieces, or no more will come."""

    pieces: int
    passed: asyncio.Event = field(default_factory=asyncio.Event)


@asynccontextmanager
async def opened(
    folder: Path, *, slots: int = SLOTS, threads: int = 1, max_len: int = 0
) -> AsyncGenerator[Engine]:
    """Open a converted model on the CPU."""
    async with opened_engine(
        folder, device=device.parse("cpu"), threads=threads, max_len=max_len, slots=slots
    ) as engine:
        yield engine


def asked(prompt: str, sampling: SamplingParams, *, begun: Sequence[int] = ()) -> Request:
    """Return a request for what follows a raw prompt."""
    return Request(sampling, prompt=prompt, begun=tuple(begun))


async def answers_of(
    engine: Engine, request: Request, marks: Sequence[Mark] = ()
) -> tuple[Answer, ...]:
    """Read every answer to a request, by index, each to its end."""
    answers = [Answer() for _ in range(request.sampling.n)]
    pieces = 0
    try:
        async with aclosing(engine.generate(request)) as outputs:
            async for output in outputs:
                answers[output.index].take(output)
                pieces += 1
                _pass(marks, pieces)
    finally:
        _pass(marks, None)
    assert all(answer.end is not None for answer in answers)
    return tuple(answers)


async def answer_of(engine: Engine, request: Request, marks: Sequence[Mark] = ()) -> Answer:
    """Read the only answer to a request."""
    (answer,) = await answers_of(engine, request, marks)
    return answer


async def alone(engine: Engine, requests: Sequence[Request]) -> list[tuple[Answer, ...]]:
    """Ask for one after the other."""
    return [await answers_of(engine, request) for request in requests]


async def together(
    engine: Engine, requests: Sequence[Request], chance: random.Random
) -> list[tuple[Answer, ...]]:
    """Ask for all in a random order, most of them when another one has come to a random place."""
    order = chance.sample(range(len(requests)), len(requests))
    marks: list[list[Mark]] = [[] for _ in requests]

    async def work(which: int, mark: Mark | None) -> tuple[Answer, ...]:
        if mark is not None:
            await mark.passed.wait()
        return await answers_of(engine, requests[which], marks[which])

    tasks: dict[int, asyncio.Task[tuple[Answer, ...]]] = {}
    async with asyncio.timeout(DEADLINE_S), asyncio.TaskGroup() as group:
        for place, which in enumerate(order):
            mark = None
            if place and chance.random() < 3 / 4:
                mark = Mark(chance.randint(1, AHEAD_MAX))
                marks[chance.choice(order[:place])].append(mark)
            tasks[which] = group.create_task(work(which, mark))
    return [tasks[which].result() for which in range(len(requests))]


async def begin(engine: Engine, prompt: str, opens: AsyncExitStack) -> None:
    """Let an endless answer begin; it ends with `opens`."""
    stream = engine.generate(asked(prompt, SamplingParams(temperature=0, ignore_eos=True)))
    await anext(await opens.enter_async_context(aclosing(stream)))


async def until(holds: Callable[[], bool]) -> None:
    """Wait until something holds of what an engine tells of itself."""
    async with asyncio.timeout(DEADLINE_S):
        while True:
            if holds():
                return
            await asyncio.sleep(0)


async def idle(engine: Engine) -> None:
    """Wait until the engine has nothing to do, and insist that nothing is held."""

    def holds_nothing() -> bool:
        load = engine.load
        return (load.running, load.waiting, load.cache_usage) == (0, 0, 0)

    await until(holds_nothing)


def _pass(marks: Sequence[Mark], pieces: int | None) -> None:
    for mark in marks:
        if pieces is None or pieces >= mark.pieces:
            mark.passed.set()
