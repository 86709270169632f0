"""A session whose numbers follow from every token of a row, and which fails when it is told to.

Rows hold tokens themselves, moved as keys and values would be. A row in the wrong place, of the
wrong length, or with a token of somebody else gives other logits, and so another text.
"""

import random
from collections import Counter
from collections.abc import Callable, Generator, Sequence
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from rbee_shared.errors import RbeeError
from rbee_worker.compute_error import ComputeError, OutOfMemoryError
from rbee_worker.session import Session

Floats = NDArray[np.float32]

VOCAB_SIZE = 32
END = 0
REPEATS = 4  # of so many choices all but one follow from two tokens, so that guesses come true
NOTHING = -1  # no token: where a row holds none
TABLE = np.random.default_rng(0).normal(0, 3, (251, VOCAB_SIZE)).astype(np.float32)
TABLE[:, END] -= 2


def logits_after(tokens: Sequence[int] | NDArray[np.int64]) -> Floats:
    """Return what the model says after these tokens."""
    held = np.asarray(tokens, np.int64)
    place = crc32(held.tobytes())
    if place % REPEATS and held.min() > NOTHING:
        place = crc32(held[-2:].tobytes())
    return TABLE[place % len(TABLE)]


class ScriptedSession(Session):
    """The fake. `broken` has each error that was raised with the tokens of whom it may end."""

    def __init__(
        self,
        *,
        slots: int,
        max_len: int,
        is_exact: bool = True,
        fails: Callable[[str], bool] = lambda call: False,
        seed: int = 0,
    ) -> None:
        """Begin with rows of nothing.

        Args:
            slots: rows.
            max_len: tokens of a row.
            is_exact: what it says of itself.
            fails: whether a call fails now: prefill, check, decode, copy, swap, embed; or whether
                its numbers are none: nan.
            seed: of what fails how.
        """
        self.slots, self.max_len, self.is_exact = slots, max_len, is_exact
        self.vocab_size = VOCAB_SIZE
        self.has_embeddings = True
        self.calls: Counter[str] = Counter()
        self.broken: dict[RbeeError, list[int]] = {}
        self.spoiled: list[list[int]] = []
        self._fails, self._dice = fails, random.Random(seed)
        self._cells = np.full((slots, max_len), NOTHING, np.int64)
        self._out = np.zeros((max(slots, max_len), VOCAB_SIZE), np.float32)

    def prefill(
        self, row: int, tokens: Sequence[int], past: int, *, logit_count: int = 1
    ) -> Floats:
        """Compute tokens of a row."""
        end = past + len(tokens)
        assert 0 <= row < self.slots
        assert 0 <= past < end <= self.max_len
        assert logit_count <= len(tokens)
        held = self._cells[row]
        held[past:] = NOTHING
        if logit_count > 1:
            self._call("check", [])
        else:
            self._call("prefill", [*held[:past].tolist(), *tokens])
        held[past:end] = tokens
        wanted = range(end - logit_count, end)
        return self._logits([held[: place + 1] for place in wanted])

    def decode(self, first: int, tokens: Sequence[int], lengths: Sequence[int]) -> Floats:
        """Compute a token of each row."""
        assert 0 <= first < first + len(tokens) <= self.slots
        assert len(tokens) == len(lengths) > 0
        assert 0 <= min(lengths) <= max(lengths) < self.max_len
        rows = list(range(first, first + len(tokens)))
        for row, length in zip(rows, lengths, strict=True):
            self._cells[row, length:] = NOTHING
        alone = [*self._cells[first, : lengths[0]].tolist(), tokens[0]]
        self._call("decode", alone if len(rows) == 1 else [])
        self._cells[rows, lengths] = tokens
        ends = zip(rows, lengths, strict=True)
        return self._logits([self._cells[row, : length + 1] for row, length in ends])

    def copy(self, source: int, target: int, length: int) -> None:
        """Copy the begin of a row; a failure leaves nothing of it."""
        assert source != target
        assert 0 < length <= self.max_len
        self._cells[target, :length] = self._cells[source, :length]
        self._call("copy", [], [target])

    def swap(self, one: int, other: int, length: int) -> None:
        """Swap the begins of two rows; a failure leaves neither as it was."""
        assert one != other
        assert 0 <= length <= self.max_len
        self._cells[[one, other], :length] = self._cells[[other, one], :length]
        self._call("swap", [], [one, other])

    def embedding(self, texts: Sequence[Sequence[int]]) -> Generator[None, None, Floats]:
        """Make vectors: how long each text is, a run each."""
        for _ in texts:
            self._call("embed", [])
            yield
        return np.array([[len(each)] for each in texts], np.float32)

    def _call(self, name: str, tokens: list[int], moved: Sequence[int] = ()) -> None:
        self._out[:] = np.nan  # logits are valid until the next call
        self.calls[name] += 1
        if not self._fails(name):
            return
        self.calls[f"failed {name}"] += 1
        self._cells[list(moved)] = NOTHING
        kind = self._dice.choice([ComputeError, OutOfMemoryError])
        error = kind(f"{name} fails")
        self.broken[error] = tokens
        raise error

    def _logits(self, rows: Sequence[NDArray[np.int64]]) -> Floats:
        found = self._out[: len(rows)]
        for place, tokens in enumerate(rows):
            found[place] = logits_after(tokens)
            if self._fails("nan"):
                found[place, self._dice.randrange(VOCAB_SIZE)] = np.nan
                self.spoiled.append(tokens.tolist())
        return found
