"""Which row of the KV cache a sequence gets, and what is moved for it. Pure: it only says so.

Rows that are computed stand side by side, so that one run computes them all. A row that nobody uses
keeps its tokens: a later prompt that begins with them goes on from there.
"""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Tokens = NDArray[np.int32]
Floats = NDArray[np.float32]

WORTH_KEEPING = 0.5  # a row is given up to a prompt that shares so much of it; else it is copied
NOTHING: Tokens = np.zeros(0, np.int32)


@dataclass(frozen=True, slots=True)
class Copy:
    """Row `target` gets the first `length` tokens of row `source`."""

    source: int
    target: int
    length: int


@dataclass(frozen=True, slots=True)
class Swap:
    """Two rows change places, with the first `length` tokens of both."""

    one: int
    other: int
    length: int


Move = Copy | Swap


@dataclass(frozen=True, slots=True, eq=False)
class End:
    """Logits [vocabulary] behind the first `length` tokens of a row."""

    length: int
    logits: Floats


@dataclass(slots=True, eq=False)
class Row:
    """A row of the cache: where it is, what it holds, and whether somebody uses it.

    `length` is how many tokens it holds, `tokens` those of them that others may go on from: of a
    row in use, its prompt. `end` are the logits behind its prompt: who asks the same again needs
    nothing computed. `used` orders the rows by when they were last taken or left.
    """

    place: int
    length: int = 0
    tokens: Tokens = field(default_factory=lambda: NOTHING)
    end: "End | None" = None
    is_taken: bool = False
    used: int = 0


@dataclass(frozen=True, slots=True)
class Placement:
    """A row that was taken, how many of the prompt's tokens it holds, and what must be moved.

    It holds all of them only if the row has their `end`.
    """

    row: Row
    kept: int
    moves: tuple[Move, ...]


class Rows:
    """The rows of one cache. Those that are taken are always side by side."""

    def __init__(self, count: int) -> None:
        self._rows = [Row(place) for place in range(count)]
        self._clock = 0

    @property
    def taken(self) -> list[Row]:
        """The rows in use, in the order of their places."""
        return [row for row in self._rows if row.is_taken]

    @property
    def lengths(self) -> list[int]:
        """How many tokens each row holds, by place."""
        return [row.length for row in self._rows]

    @property
    def has_room(self) -> bool:
        """Whether another sequence can get a row."""
        return not all(row.is_taken for row in self._rows)

    def shared(self, tokens: Tokens) -> int:
        """Return how many tokens at the begin of a prompt some row holds."""
        return max(common(row.tokens, tokens) for row in self._rows)

    def take(self, tokens: Tokens) -> Placement:
        """Take a row for a prompt, the one that holds most of its begin, or a copy of that.

        Args:
            tokens: of the prompt, at least one. The last is computed for its logits, where no row
                has them.
        """
        free = [row for row in self._rows if not row.is_taken]
        best = max(self._rows, key=lambda row: (_kept(row, tokens), not row.is_taken))
        kept = _kept(best, tokens)
        end = best.end if kept == len(tokens) else None
        oldest = min(free, key=lambda row: (row.length > 0, row.used))
        gives_itself = not best.is_taken and kept >= WORTH_KEEPING * best.length
        chosen = best if gives_itself and kept else oldest
        moves: list[Move] = []
        if chosen is not best and kept:
            moves.append(Copy(best.place, chosen.place, kept))
        chosen.tokens, chosen.length, chosen.end = tokens[:kept], kept, end
        moves += self._put(chosen, self._next_place(chosen))
        self._touch(chosen)
        chosen.is_taken = True
        return Placement(chosen, kept, tuple(moves))

    def leave(self, row: Row, tokens: Tokens) -> tuple[Move, ...]:
        """Give a row back and return what must be moved, so that those in use stay side by side.

        Args:
            row: one that is taken.
            tokens: those whose keys and values it holds; they are kept for others.
        """
        row.tokens, row.length = tokens, len(tokens)
        row.is_taken = False
        if row.end is not None and row.end.length > len(tokens):
            row.end = None
        self._touch(row)
        places = [each.place for each in self.taken]
        if not places or not min(places) < row.place < max(places):
            return ()
        return tuple(self._put(self._rows[max(places)], row.place))

    def lose(self, moves: Sequence[Move]) -> Collection[Row]:
        """Empty the rows that moves were to change, since they failed, and return them."""
        places: set[int] = set()
        for move in moves:
            places |= {move.target} if isinstance(move, Copy) else {move.one, move.other}
        lost = [row for row in self._rows if row.place in places]
        for row in lost:
            row.tokens, row.length, row.end = NOTHING, 0, None
        return lost

    def _next_place(self, chosen: Row) -> int:
        places = [each.place for each in self.taken]
        if not places:
            return chosen.place
        after, before = max(places) + 1, min(places) - 1
        if chosen.place in (after, before):
            return chosen.place
        return after if after < len(self._rows) else before

    def _put(self, row: Row, place: int) -> Iterator[Move]:
        """Put a row in a place; what is there goes where the row was."""
        if row.place == place:
            return
        other = self._rows[place]
        yield Swap(row.place, place, max(row.length, other.length))
        self._rows[row.place], self._rows[place] = other, row
        row.place, other.place = place, row.place

    def _touch(self, row: Row) -> None:
        self._clock += 1
        row.used = self._clock


def _kept(row: Row, tokens: Tokens) -> int:
    """Return how many tokens of a prompt need not be computed if it goes on from a row."""
    shared = common(row.tokens, tokens)
    has_end = row.end is not None and row.end.length == shared == len(tokens)
    return shared if has_end else min(shared, len(tokens) - 1)


def common(one: Tokens, other: Tokens) -> int:
    """Return how many tokens two sequences begin with alike."""
    length = min(len(one), len(other))
    differs = one[:length] != other[:length]
    return int(differs.argmax()) if length and differs.any() else length


def as_tokens(tokens: Sequence[int]) -> Tokens:
    """Return tokens as they are compared here."""
    return np.array(tokens, np.int32)
