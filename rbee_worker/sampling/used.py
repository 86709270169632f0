"""Which tokens a sequence has used and how often: the touched ones alone, in arrays."""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

ROOM_MIN = 64  # the arrays begin with so many places and double


class UsedTokens:
    """Tokens of the prompt and the answer with their number of uses in the answer.

    Args:
        prompt: its tokens; they are there with 0 uses.
    """

    def __init__(self, prompt: Iterable[int]) -> None:
        self._places = {token: place for place, token in enumerate(dict.fromkeys(prompt))}
        room = max(ROOM_MIN, 2 * len(self._places))
        self._ids = np.zeros(room, np.intp)
        self._ids[: len(self._places)] = list(self._places)
        self._counts = np.zeros(room, np.float32)

    @property
    def ids(self) -> NDArray[np.intp]:
        """The tokens, each once, in the order of their first use."""
        return self._ids[: len(self._places)]

    @property
    def counts(self) -> NDArray[np.float32]:
        """How often each of `ids` is in the answer."""
        return self._counts[: len(self._places)]

    def add(self, token: int) -> None:
        """Count a token of the answer."""
        place = self._places.setdefault(token, len(self._places))
        if place == len(self._ids):
            self._ids = np.concatenate([self._ids, np.zeros_like(self._ids)])
            self._counts = np.concatenate([self._counts, np.zeros_like(self._counts)])
        self._ids[place] = token
        self._counts[place] += 1
