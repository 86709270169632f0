"""rbee's engine, in a process of its own: asked as a worker asks it, timed as a worker hears it."""

import argparse
import asyncio
import inspect
import time
from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import onnxruntime as untyped_onnxruntime

from bench.engine.exchange import CONTEXT_TOKENS, SLOTS, Decoded, FirstTokens, Prompt, serve
from bench.engine.rates import Arrival, decode_rate
from rbee_shared.lifecycle.daemon import new_event_loop
from rbee_worker import device
from rbee_worker.engine.engine import Engine, opened_engine
from rbee_worker.engine.request import Request, Usage
from rbee_worker.sampling.params import SamplingParams

onnxruntime: Any = untyped_onnxruntime


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of a request, and when."""

    arrivals: list[Arrival]
    tokens: list[int]
    usage: Usage
    first_s: float


@dataclass(frozen=True, slots=True)
class Rbee:
    """The engine as the benchmark measures it."""

    engine: Engine

    async def decode(self, prompts: Sequence[Prompt], count: int) -> Decoded:
        """Answer all prompts at once, with so many tokens each.

        They are computed before, to be found in the cache by an engine that has one: then all
        streams begin together and at the length that is asked for.
        """
        for prompt in prompts:
            await self._answer(prompt, 1)
        async with asyncio.TaskGroup() as tasks:
            running = [tasks.create_task(self._answer(prompt, count)) for prompt in prompts]
        answers = [task.result() for task in running]
        rate = decode_rate([answer.arrivals for answer in answers])
        return Decoded(
            rate.tokens_per_second, rate.is_at_once, [answer.tokens for answer in answers]
        )

    async def first_tokens(self, prompt: Prompt) -> FirstTokens:
        """Answer a prompt with one token, twice."""
        first, again = await self._answer(prompt, 1), await self._answer(prompt, 1)
        cached = first.usage.cached_tokens, again.usage.cached_tokens
        return FirstTokens(first.first_s, again.first_s, *cached)

    async def _answer(self, prompt: Prompt, count: int) -> Answer:
        arrivals: list[Arrival] = []
        tokens: list[int] = []
        request = Request(_greedy(count), prompt=prompt.text)
        began_s = time.perf_counter()
        async with aclosing(self.engine.generate(request)) as outputs:
            async for output in outputs:
                if output.token_ids:
                    arrivals.append((time.perf_counter(), len(output.token_ids)))
                    tokens += output.token_ids
                if output.finish is not None:
                    usage = output.finish.usage
                    assert usage.prompt_tokens == len(prompt.tokens)
                    return Answer(arrivals, tokens, usage, arrivals[0][0] - began_s)
        raise AssertionError("an answer without an end")


def _greedy(count: int) -> SamplingParams:
    known = {field.name for field in fields(SamplingParams)}
    whole: dict[str, Any] = {"ignore_eos": True} if "ignore_eos" in known else {}
    return SamplingParams(temperature=0, max_tokens=count, **whole)


async def run(folder: Path, threads: int) -> None:
    """Open the engine and let it be measured until standard input ends."""
    known = inspect.signature(opened_engine).parameters
    room: dict[str, Any] = {"slots": SLOTS} if "slots" in known else {}
    opened = opened_engine(
        folder, device=device.parse("cpu"), threads=threads, max_len=CONTEXT_TOKENS, **room
    )
    async with opened as engine:
        about = f"rbee on ONNX Runtime {onnxruntime.__version__}"
        await serve(Rbee(engine), about)


def main() -> None:
    """Be the engine that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("threads", type=int)
    asked = parser.parse_args()
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        runner.run(run(asked.folder, asked.threads))


if __name__ == "__main__":
    main()
