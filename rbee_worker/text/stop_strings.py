"""Ending an answer at a text: what could be the beginning of a stop string is held back. Pure.

The stop string that is complete first ends the answer, of several complete at once the longest: so
it makes no difference in which pieces the answer comes. All are looked for together, and a letter
costs the same however many there are.

Source: Aho and Corasick 1975, "Efficient string matching: an aid to bibliographic search".
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass(slots=True)
class _State:
    """A beginning of some stop string, `depth` letters long, that the answer ends with now.

    `fallback` is the longest proper end of it that is such a beginning too; `stop` the longest stop
    string that it ends with.
    """

    depth: int = 0
    following: dict[str, "_State"] = field(default_factory=dict[str, "_State"])
    fallback: "_State | None" = None
    stop: str = ""


class StopStrings:
    """Watches an answer as it grows. The stop string itself is never let through.

    `found` is the one that ended the answer; then nothing more is taken in.
    """

    def __init__(self, strings: Sequence[str]) -> None:
        """Watch for the strings, none of them empty."""
        self._root = self._state = _states(strings)
        self._held = ""
        self.found = ""

    def push(self, text: str) -> str:
        """Take in the next piece and return what is sure to belong to the answer."""
        if self.found:
            return ""
        if not self._root.following:
            return text
        before = len(self._held)
        self._held += text
        for place, letter in enumerate(text, before + 1):
            self._state = _next(self._state, letter) or self._root
            if self._state.stop:
                self.found = self._state.stop
                sure, self._held = self._held[: place - len(self.found)], ""
                return sure
        keep = len(self._held) - self._state.depth
        sure, self._held = self._held[:keep], self._held[keep:]
        return sure

    def flush(self) -> str:
        """Return what was held back; the answer has ended otherwise."""
        rest, self._held = self._held, ""
        self._state = self._root
        return rest


def _next(state: _State | None, letter: str) -> _State | None:
    """Return the state after one more letter; None where no beginning ends with it."""
    while state is not None:
        if (found := state.following.get(letter)) is not None:
            return found
        state = state.fallback
    return None


def _states(strings: Sequence[str]) -> _State:
    root = _State()
    for string in strings:
        state = root
        for depth, letter in enumerate(string, 1):
            state = state.following.setdefault(letter, _State(depth))
        state.stop = string
    waiting = deque([root])
    while waiting:  # the shorter first: a fallback is shorter
        state = waiting.popleft()
        for letter, longer in state.following.items():
            longer.fallback = _next(state.fallback, letter) or root
            longer.stop = longer.stop or longer.fallback.stop
            waiting.append(longer)
    return root
