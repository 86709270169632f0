"""Finding the control tokens of a model in a text, the leftmost first and the longest of those.

Some models have thousands of them, all alike at their beginning, and people may write many such
beginnings: so each place costs a few look-ups, however many tokens there are.
"""

import re
from bisect import bisect_left
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

NOTHING = r"(?!)"  # a pattern that is found nowhere


@dataclass(frozen=True, slots=True)
class Found:
    """A control token, and where in the text it is."""

    token: int
    start: int
    end: int


class ControlTokens:
    """The control tokens of one model."""

    def __init__(self, texts: Mapping[int, str]) -> None:
        """Take the tokens and their texts."""
        self._numbers = {text: number for number, text in texts.items() if text}
        self._lengths = sorted({len(text) for text in self._numbers}, reverse=True)
        self._sorted = sorted(self._numbers)
        beginnings = sorted({re.escape(text[0]) for text in self._numbers})
        self._beginning = re.compile("|".join(beginnings) or NOTHING)

    def find(self, text: str) -> Iterator[Found]:
        """Yield those in the text, which do not overlap."""
        at = 0
        while (beginning := self._beginning.search(text, at)) is not None:
            start = beginning.start()
            found = self._at(text, start)
            if found is not None:
                yield found
            at = start + 1 if found is None else found.end

    def begun_at(self, text: str, end: int) -> int:
        """Return where a token begins that the text up to `end` leaves off within; else `end`."""
        longest = self._lengths[0] - 1 if self._lengths else 0
        for start in range(max(0, end - longest), end):
            part = text[start:end]
            place = bisect_left(self._sorted, part)
            if place < len(self._sorted) and self._sorted[place].startswith(part):
                return start
        return end

    def _at(self, text: str, start: int) -> Found | None:
        for length in self._lengths:
            number = self._numbers.get(text[start : start + length])
            if number is not None:
                return Found(number, start, start + length)
        return None
