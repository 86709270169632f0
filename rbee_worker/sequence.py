"""A request inside the engine: what is asked for, and how far it is."""

import enum
import time
from collections.abc import Mapping
from dataclasses import dataclass, field

from rbee_shared.errors import InvalidArgumentError

STOP_STRINGS_MAX = 16
STOP_CHARS_MAX = 256
TEMPERATURE_MAX = 2.0


class FinishReason(enum.IntEnum):
    """Why an answer ended; the numbers are the wire's."""

    STOP = 1
    LENGTH = 2
    CANCELLED = 3


@dataclass(frozen=True, slots=True)
class SamplingParams:
    """How tokens are chosen and when to end. `seed` None: a random one, told in the end."""

    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
    seed: int | None = None
    max_tokens: int | None = None
    stop: tuple[str, ...] = ()

    def check(self) -> None:
        """Refuse what is out of range, all faults at once.

        Raises:
            InvalidArgumentError: there are faults.
        """
        rules = (
            (
                0 <= self.temperature <= TEMPERATURE_MAX,
                f"temperature is not in 0..{TEMPERATURE_MAX:g}",
            ),
            (self.top_k >= 0, "top_k is negative"),
            (0 < self.top_p <= 1, "top_p is not above 0 and at most 1"),
            (self.max_tokens is None or self.max_tokens >= 1, "max_tokens is below 1"),
            (len(self.stop) <= STOP_STRINGS_MAX, f"there are over {STOP_STRINGS_MAX} stop strings"),
            (
                all(1 <= len(each) <= STOP_CHARS_MAX for each in self.stop),
                f"a stop string has not 1 to {STOP_CHARS_MAX} characters",
            ),
        )
        if faults := [fault for holds, fault in rules if not holds]:
            raise InvalidArgumentError("; ".join(faults), reason="SAMPLING_INVALID")


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked for: a conversation, or a raw prompt. Exactly one is set."""

    sampling: SamplingParams
    messages: tuple[Mapping[str, str], ...] = ()
    prompt: str | None = None


@dataclass(frozen=True, slots=True)
class Usage:
    """What a request cost. Times in seconds."""

    prompt_tokens: int
    completion_tokens: int
    queue_s: float
    first_token_s: float
    total_s: float


@dataclass(frozen=True, slots=True)
class Finish:
    """How an answer ended. `stop` is the stop string that ended it, else empty."""

    reason: FinishReason
    stop: str
    usage: Usage
    seed: int


@dataclass(frozen=True, slots=True)
class Output:
    """A piece of an answer; the last one has `finish`."""

    text: str
    token_ids: tuple[int, ...]
    finish: Finish | None = None


@dataclass(slots=True, eq=False)
class Sequence:
    """Tokens of one request and how many of them the cache holds. Times are monotonic seconds."""

    sampling: SamplingParams
    prompt: list[int]
    seed: int
    token_count_max: int
    arrived_s: float
    answer: list[int] = field(default_factory=list[int])
    computed: int = 0
    begun_s: float = 0.0
    first_token_s: float = 0.0

    @property
    def length(self) -> int:
        """Tokens of prompt and answer."""
        return len(self.prompt) + len(self.answer)

    def usage(self) -> Usage:
        """Return what it has cost until now."""
        now_s = time.monotonic()
        return Usage(
            prompt_tokens=len(self.prompt),
            completion_tokens=len(self.answer),
            queue_s=max(0.0, self.begun_s - self.arrived_s) if self.begun_s else 0.0,
            first_token_s=max(0.0, self.first_token_s - self.arrived_s),
            total_s=now_s - self.arrived_s,
        )
