"""What the engine is doing, and how fast. Written by its thread, read by others."""

from dataclasses import dataclass

RATE_S = 1.0  # a rate is told of stretches so long
SMOOTHING = 0.3
PREFILL_TOKENS_PER_S = 200.0  # until the first prompt is measured


@dataclass(slots=True)
class Load:
    """What the engine is doing. `cache_usage` is the share of the KV cache in use, 0 to 1."""

    running: int = 0
    waiting: int = 0
    token_count: int = 0
    tokens_per_second: float = 0.0
    cache_usage: float = 0.0


class Rates:
    """How fast answers are written and prompts are computed. The clock is the caller's."""

    def __init__(self) -> None:
        self.prefill_tokens_per_s = PREFILL_TOKENS_PER_S
        self.tokens_per_s = 0.0
        self._count = 0
        self._since_s: float | None = None

    def prefilled(self, tokens: int, took_s: float) -> None:
        """Take note of a piece of a prompt."""
        if took_s > 0:
            found = tokens / took_s
            self.prefill_tokens_per_s += SMOOTHING * (found - self.prefill_tokens_per_s)

    def wrote(self, tokens: int, now_s: float) -> None:
        """Take note of tokens that were chosen."""
        if self._since_s is None:
            self._since_s = now_s
        self._count += tokens
        if (span_s := now_s - self._since_s) >= RATE_S:
            self.tokens_per_s, self._count, self._since_s = self._count / span_s, 0, now_s

    def rest(self) -> None:
        """Take note that there is nothing to do."""
        self.tokens_per_s, self._count, self._since_s = 0.0, 0, None
