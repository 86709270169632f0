"""One answer inside the engine: its tokens, how many of them are computed, and when they came."""

import statistics
from array import array
from dataclasses import dataclass, field
from itertools import pairwise

from rbee_worker.engine.request import Priority, Usage
from rbee_worker.engine.rows import Row, Tokens, as_tokens


@dataclass(slots=True, eq=False)
class Sequence:
    """Tokens of one answer with its prompt. Times are monotonic seconds.

    Args:
        prompt: its tokens, at least one.
        answer: what there is of the answer; what is there at the start was begun elsewhere.
        begin: what is there at the start, prompt and answer.
        ahead: who computes much of its begin just now, and how many tokens of it.
        token_count_max: tokens of the whole answer, at most.
        arrived_s: when it was asked for.
        priority: who goes first.
    """

    prompt: list[int]
    token_count_max: int
    arrived_s: float
    priority: Priority = Priority.INTERACTIVE
    answer: list[int] = field(default_factory=list[int])
    begin: Tokens = field(init=False)
    computed: int = 0
    cached: int = 0
    row: Row | None = None
    ahead: "tuple[Sequence, int] | None" = None
    overtaken: int = 0
    begun_s: float = 0.0
    token_times_s: "array[float]" = field(default_factory=lambda: array("d"))

    def __post_init__(self) -> None:
        """Note what it begins with."""
        self.begin = self.all()

    @property
    def length(self) -> int:
        """Tokens of prompt and answer."""
        return len(self.prompt) + len(self.answer)

    @property
    def uncomputed(self) -> int:
        """Tokens that the cache does not hold yet."""
        return len(self.prompt) + len(self.answer) - self.computed

    @property
    def decodes(self) -> bool:
        """Whether all but its newest token is computed, and a token was chosen here."""
        return self.uncomputed == 1 and len(self.token_times_s) > 0

    @property
    def reads(self) -> bool:
        """Whether it has a row, and tokens to compute before the next is chosen."""
        return self.row is not None and not self.decodes

    def tokens(self, begin: int, end: int) -> list[int]:
        """Return its tokens in [begin, end)."""
        split = len(self.prompt)
        if begin >= split:  # the common case, without building the whole
            return self.answer[begin - split : end - split]
        return (self.prompt + self.answer)[begin:end]

    def all(self) -> Tokens:
        """Return all tokens."""
        return as_tokens(self.prompt + self.answer)

    def advance(self, computed: int) -> None:
        """Note how many tokens its row holds now."""
        assert self.row is not None
        self.computed = self.row.length = computed
        if len(self.row.tokens) < len(self.begin):
            self.row.tokens = self.begin[:computed]

    def usage(self, now_s: float) -> Usage:
        """Return what it has cost until now."""
        times = self.token_times_s
        intervals = [after - before for before, after in pairwise(times)]
        return Usage(
            prompt_tokens=len(self.prompt),
            completion_tokens=len(self.answer),
            cached_tokens=min(self.cached, len(self.prompt)),
            queue_s=max(0.0, (self.begun_s or now_s) - self.arrived_s),
            first_token_s=max(0.0, times[0] - self.arrived_s) if times else 0.0,
            total_s=now_s - self.arrived_s,
            interval_s=statistics.median(intervals) if intervals else 0.0,
            interval_s_max=max(intervals, default=0.0),
        )
