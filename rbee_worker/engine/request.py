"""What is asked of the engine, and the pieces in which it answers."""

import enum
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rbee_worker.constraints.constraint import Constraint
from rbee_worker.sampling.params import SamplingParams
from rbee_worker.tools.tool import AUTO, Tool, ToolCall, ToolChoice


class FinishReason(enum.IntEnum):
    """Why an answer ended; the numbers are the wire's."""

    STOP = 1
    LENGTH = 2
    CANCELLED = 3
    TOOL_CALLS = 4


class Priority(enum.IntEnum):
    """Who goes first; the numbers are the wire's."""

    INTERACTIVE = 1
    BATCH = 2


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked for: a conversation, or a raw prompt. Exactly one is set.

    `begun` are the tokens of the answer that exist already, when another worker began it; they are
    not told again. Never both: a constraint, and a tool that must be called.
    """

    sampling: SamplingParams
    messages: tuple[Mapping[str, Any], ...] = ()
    prompt: str | None = None
    begun: tuple[int, ...] = ()
    priority: Priority = Priority.INTERACTIVE
    tools: tuple[Tool, ...] = ()
    tool_choice: ToolChoice = AUTO
    constraint: Constraint | None = None


@dataclass(frozen=True, slots=True)
class Usage:
    """What an answer cost. Times in seconds; `interval_s` is the median between two tokens.

    `cached_tokens` are those of the prompt whose keys and values were still there.
    """

    prompt_tokens: int
    completion_tokens: int
    cached_tokens: int
    queue_s: float
    first_token_s: float
    total_s: float
    interval_s: float
    interval_s_max: float


@dataclass(frozen=True, slots=True)
class TokenLogprob:
    """A token, what it writes, and the natural logarithm of its probability."""

    token: int
    text: bytes
    logprob: float


@dataclass(frozen=True, slots=True)
class Logprobs:
    """The token that was chosen and the likeliest in its place, best first."""

    chosen: TokenLogprob
    alternatives: tuple[TokenLogprob, ...]


@dataclass(frozen=True, slots=True)
class Finish:
    """How an answer ended. `stop` is the stop string that ended it, else empty."""

    reason: FinishReason
    stop: str
    usage: Usage
    seed: int
    tool_calls: tuple[ToolCall, ...] = ()


@dataclass(frozen=True, slots=True)
class Output:
    """A piece of answer number `index`; the last has `finish`. `logprobs`: one for each token."""

    text: str
    token_ids: tuple[int, ...]
    finish: Finish | None = None
    index: int = 0
    logprobs: tuple[Logprobs, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Embeddings:
    """Vectors, float32 [texts, size], in the order of the texts, and the tokens of all of them."""

    vectors: NDArray[np.float32]
    prompt_tokens: int
