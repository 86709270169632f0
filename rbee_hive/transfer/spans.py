"""Which bytes of a file are there: ranges that never overlap. Pure."""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

Span = tuple[int, int]  # the first byte, and the one after the last


@dataclass(slots=True)
class Spans:
    """A set of bytes. Ranges that touch are one."""

    _begins: list[int] = field(default_factory=list[int])
    _ends: list[int] = field(default_factory=list[int])

    @classmethod
    def of(cls, spans: Iterable[Span]) -> "Spans":
        """Return the union."""
        found = cls()
        for begin, end in spans:
            found.add(begin, end)
        return found

    def __iter__(self) -> Iterator[Span]:
        """The ranges, in order."""
        return iter(list(zip(self._begins, self._ends, strict=True)))

    @property
    def size_bytes(self) -> int:
        """How many bytes are there."""
        return sum(self._ends) - sum(self._begins)

    @property
    def front(self) -> int:
        """How many bytes are there without a gap, from the first on."""
        return self._ends[0] if self._begins and self._begins[0] == 0 else 0

    def add(self, begin: int, end: int) -> None:
        """Have these bytes, too."""
        if begin >= end:
            return
        first = bisect_left(self._ends, begin)
        last = bisect_right(self._begins, end)
        if first < last:
            begin = min(begin, self._begins[first])
            end = max(end, self._ends[last - 1])
        self._begins[first:last] = [begin]
        self._ends[first:last] = [end]

    def gaps(self, begin: int, end: int) -> Iterator[Span]:
        """Yield what is missing between the two, in order; look at what is there as it goes."""
        at = begin
        while at < end:
            index = bisect_right(self._ends, at)
            if index < len(self._begins) and self._begins[index] <= at:
                at = self._ends[index]
                continue
            stop = self._begins[index] if index < len(self._begins) else end
            yield at, min(stop, end)
            at = min(stop, end)

    def gap(self, begin: int, end: int) -> Span | None:
        """Return the first that is missing between the two."""
        return next(self.gaps(begin, end), None)


def pieces(gaps: Iterable[Span], piece_bytes: int) -> Iterator[Span]:
    """Cut ranges into pieces that are no larger than that."""
    for begin, end in gaps:
        for at in range(begin, end, piece_bytes):
            yield at, min(at + piece_bytes, end)
