"""What the arrivals of tokens say: how fast streams decode that run at once. Pure.

Streams begin and end one after the other, so only the time is looked at in which all of them run.
"""

from collections.abc import Sequence
from dataclasses import dataclass

TOKENS_MIN = 4  # of a stream, within the time that all run; fewer are no rate

Arrival = tuple[float, int]  # when, in seconds, and how many tokens at once


@dataclass(frozen=True, slots=True)
class Rate:
    """Tokens a second of all streams together, and whether they did run at once."""

    tokens_per_second: float
    is_at_once: bool


def decode_rate(streams: Sequence[Sequence[Arrival]]) -> Rate:
    """Return how fast streams decode, from the first token of the last to the end of the first.

    Where there is no such time, or next to none, it is all tokens but each stream's first, over
    the time from the first token of any to the last.

    Args:
        streams: of each at least two arrivals, in the order of time.
    """
    begin_s = max(arrivals[0][0] for arrivals in streams)
    end_s = min(arrivals[-1][0] for arrivals in streams)
    within = [[each for each in arrivals if begin_s <= each[0] <= end_s] for arrivals in streams]
    if min(sum(count for _, count in arrivals[1:]) for arrivals in within) >= TOKENS_MIN:
        return Rate(sum(_own_rate(arrivals) for arrivals in within), is_at_once=True)
    count = sum(count for arrivals in streams for _, count in arrivals[1:])
    took_s = max(each[-1][0] for each in streams) - min(each[0][0] for each in streams)
    return Rate(count / took_s, is_at_once=False)


def _own_rate(arrivals: Sequence[Arrival]) -> float:
    """Return the rate between a stream's own arrivals: those of a step come one after the other."""
    return sum(count for _, count in arrivals[1:]) / (arrivals[-1][0] - arrivals[0][0])
