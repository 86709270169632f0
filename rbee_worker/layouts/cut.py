"""Where a run is cut: for the memory of its logits, or to get more than the last. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from rbee_worker.layouts.signature import Told


@dataclass(frozen=True, slots=True)
class Part:
    """Tokens [begin, end) of a run, and for how many of the last of them logits are wanted."""

    begin: int
    end: int
    logit_count: int


def parts(length: int, logit_count: int, *, told: Told, tokens_max: int) -> Sequence[Part]:
    """Return the runs that compute `length` tokens.

    Args:
        length: at least one.
        logit_count: of the last tokens, at most `length`.
        told: for which tokens the graph puts out logits.
        tokens_max: of one run.
    """
    ends = {*range(tokens_max, length, tokens_max), length}
    first_wanted = length - logit_count
    if told is Told.LAST:
        ends |= set(range(first_wanted + 1, length))
    bounds = [0, *sorted(ends)]
    return [
        Part(begin, end, max(0, end - max(begin, first_wanted))) for begin, end in pairwise(bounds)
    ]
