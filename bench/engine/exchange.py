"""What the benchmark and its engines say to each other: one line of JSON each way.

An engine is a process of its own, maybe of another Python, which has neither rbee's dependencies
nor its other packages: this file imports the standard library alone.
"""

import asyncio
import json
import os
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Protocol

SLOTS = 16
CONTEXT_TOKENS = 1_024  # of each slot


@dataclass(frozen=True, slots=True)
class Prompt:
    """A text and the tokens that it has for both engines."""

    text: str
    tokens: list[int]


@dataclass(frozen=True, slots=True)
class Decoded:
    """How fast some streams were decoded together, and the tokens of each if they are known."""

    tokens_per_second: float
    is_at_once: bool
    answers: list[list[int]]


@dataclass(frozen=True, slots=True)
class FirstTokens:
    """Seconds until the first token of a prompt, and of the same prompt again.

    With each, how many tokens of the prompt were in the cache.
    """

    first_s: float
    again_s: float
    first_cached: int
    again_cached: int


class Measured(Protocol):
    """An engine that can be measured."""

    async def decode(self, prompts: Sequence[Prompt], count: int) -> Decoded:
        """Answer all prompts at once, with so many tokens each."""
        ...

    async def first_tokens(self, prompt: Prompt) -> FirstTokens:
        """Answer a prompt with one token, twice."""
        ...


async def serve(engine: Measured, about: str) -> None:
    """Answer what standard input asks, until it ends."""
    told = _own_stdout()
    _tell(told, {"about": about})
    while line := await asyncio.to_thread(sys.stdin.readline):
        asked: dict[str, Any] = json.loads(line)
        prompts = [Prompt(**each) for each in asked["prompts"]]
        count: int = asked["count"]
        if count > 1:
            _tell(told, asdict(await engine.decode(prompts, count)))
        else:
            _tell(told, asdict(await engine.first_tokens(prompts[0])))


def _own_stdout() -> int:
    """Keep standard output for answers; what libraries print goes to standard error."""
    own = os.dup(1)
    os.dup2(2, 1)
    return own


def _tell(descriptor: int, value: dict[str, Any]) -> None:
    os.write(descriptor, json.dumps(value).encode() + b"\n")
