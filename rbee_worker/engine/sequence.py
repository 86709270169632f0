"""A request inside the engine, and how far it is."""

import time
from dataclasses import dataclass, field

from rbee_worker.engine.request import Usage
from rbee_worker.sampling.params import SamplingParams


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
            cached_tokens=0,
            queue_s=max(0.0, self.begun_s - self.arrived_s) if self.begun_s else 0.0,
            first_token_s=max(0.0, self.first_token_s - self.arrived_s),
            total_s=now_s - self.arrived_s,
            interval_s=0.0,
            interval_s_max=0.0,
        )
