"""What is measured, and what is to be reached: the cases with their goals."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

from bench.engine.exchange import SLOTS, Prompt
from bench.engine.texts import Texts

RBEE, SAME, FAST = "rbee", "llama.cpp, same file", "llama.cpp, Q4_0"
SHORT, LONG = 64, 512
COUNT_COPIED, COUNT_OTHER, COUNT_TOGETHER, COUNT_QUICK = 48, 64, 32, 16
QUICK_STREAMS = 8

PREFILL_GOAL = 3.0
HIT_GOAL = 100.0
ROOFLINE_GOAL = 0.8

Make = Callable[[Texts, int], Prompt]


@dataclass(frozen=True, slots=True)
class DecodeCase:
    """Streams that decode together, with the ratios to llama.cpp that are to be reached."""

    name: str
    streams: int
    count: int
    make: Make
    goal_same: float | None = None
    goal_fast: float | None = None

    @property
    def goals(self) -> Mapping[str, float | None]:
        """The ratios that are to be reached, by what they are to."""
        return {SAME: self.goal_same, FAST: self.goal_fast}

    def prompts(self, texts: Texts, round_number: int) -> list[Prompt]:
        """Return a prompt for each stream, others in each round."""
        first = round_number * SLOTS
        if self.streams == 1:
            first = round_number
        return [self.make(texts, first + stream) for stream in range(self.streams)]


def _plain(texts: Texts, number: int, *, length: int) -> Prompt:
    return texts.plain(length, number)


_SHORT, _LONG = partial(_plain, length=SHORT), partial(_plain, length=LONG)
REPEATING = DecodeCase(
    "1 stream, repeats its prompt", 1, COUNT_COPIED, Texts.repeating, goal_same=1.5, goal_fast=1.0
)
OTHER = DecodeCase(
    "1 stream, other text", 1, COUNT_OTHER, Texts.other, goal_same=1.1, goal_fast=1.0
)
TOGETHER = (
    DecodeCase(f"8 streams, context {SHORT}", 8, COUNT_TOGETHER, _SHORT, 2.5, 1.2),
    DecodeCase(f"16 streams, context {SHORT}", 16, COUNT_TOGETHER, _SHORT),
    DecodeCase(f"8 streams, context {LONG}", 8, COUNT_TOGETHER, _LONG, 2.0, 1.2),
    DecodeCase(f"16 streams, context {LONG}", 16, COUNT_TOGETHER, _LONG),
)
DECODE: tuple[DecodeCase, ...] = (REPEATING, OTHER, *TOGETHER)
PREFILL = f"prefill of {LONG} tokens"


def chosen(*, is_quick: bool, only: str) -> Sequence[DecodeCase]:
    """Return the cases to decode: those whose name has a text in it, fewer and shorter if quick."""
    cases = [case for case in DECODE if only in case.name]
    if is_quick:
        return [
            replace(case, count=COUNT_QUICK)
            for case in cases
            if case.streams == 1 or case is TOGETHER[0]
        ]
    return cases
