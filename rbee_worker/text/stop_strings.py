"""Ending an answer at a text: what could be the beginning of a stop string is held back. Pure."""

from collections.abc import Sequence


class StopStrings:
    """Watches an answer as it grows. The stop string itself is never let through."""

    def __init__(self, strings: Sequence[str]) -> None:
        self._strings = tuple(strings)
        self._held = ""
        self.found = ""

    def push(self, text: str) -> str:
        """Take in the next piece and return what is sure to belong to the answer."""
        if not self._strings:
            return text
        self._held += text
        places = [(self._held.find(each), each) for each in self._strings if each in self._held]
        if places:
            place, self.found = min(places)
            sure, self._held = self._held[:place], ""
            return sure
        keep = max(_overlap(self._held, each) for each in self._strings)
        sure = self._held[: len(self._held) - keep]
        self._held = self._held[len(self._held) - keep :]
        return sure

    def flush(self) -> str:
        """Return what was held back; the answer has ended otherwise."""
        rest, self._held = self._held, ""
        return rest


def _overlap(text: str, stop: str) -> int:
    """Return the length of the longest end of `text` that begins `stop`."""
    for length in range(min(len(text), len(stop) - 1), 0, -1):
        if text.endswith(stop[:length]):
            return length
    return 0
