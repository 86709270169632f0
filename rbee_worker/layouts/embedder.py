"""Texts as vectors: the mean of what the last layer makes of their tokens, of length 1.

Texts are computed together, in caches of their own that live for one run. Shorter texts are filled
up at the right, where the model does not look: with a cache of 8 bits a text's vector is the same
to the last bit in any company, with others to rounding.
"""

from collections.abc import Callable, Generator, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rbee_worker.layouts.buffers import Caches
from rbee_worker.layouts.own_cache import bind_input
from rbee_worker.layouts.signature import HIDDEN

Floats = NDArray[np.float32]
Tokens = Sequence[int]

RUN_TOKENS_MAX = 256  # more are no faster, and whoever has an answer written waits for a run


class Embedder:
    """Makes vectors by the runs of a graph of our layout."""

    def __init__(
        self,
        new_binding: Callable[[], Any],
        run: Callable[[Any], None],
        new_caches: Callable[[int, int], Caches],
        hidden_size: int,
    ) -> None:
        """Make vectors by runs in caches of a number of rows and a length."""
        self._new_binding, self._run = new_binding, run
        self._new_caches, self._hidden_size = new_caches, hidden_size

    def runs(self, texts: Sequence[Tokens]) -> Generator[None, None, Floats]:
        """Compute one run after the other, stopping between two; return a vector for each text.

        Raises:
            RbeeError: it could not be computed.
            MemoryError: there is no memory for the caches.
        """
        means = np.zeros((len(texts), self._hidden_size), np.float32)
        for places in together([len(text) for text in texts]):
            group = [texts[place] for place in places]
            lengths = np.array([[len(text)] for text in group], np.float32)
            means[places] = (yield from self._sums(group)) / lengths
        norms = np.linalg.norm(means, axis=1, keepdims=True)
        return means / np.where(norms > 0, norms, 1).astype(np.float32)

    def _sums(self, group: Sequence[Tokens]) -> Generator[None, None, Floats]:
        length = max(map(len, group))
        caches = self._new_caches(len(group), length)
        sums = np.zeros((len(group), self._hidden_size), np.float32)
        for begin in range(0, length, RUN_TOKENS_MAX):  # cut is only what has no company
            parts = [text[begin : begin + RUN_TOKENS_MAX] for text in group]
            hidden = self._hidden(caches, parts, begin)
            for place, part in enumerate(parts):
                sums[place] += hidden[place, : len(part)].sum(axis=0)
            yield
        return sums

    def _hidden(self, caches: Caches, parts: Sequence[Tokens], past: int) -> Floats:
        count, length = len(parts), max(map(len, parts))
        ids = np.zeros((count, length), np.int64)
        for place, part in enumerate(parts):
            ids[place, : len(part)] = part
        seqlens = np.array([past + len(part) - 1 for part in parts], np.int32)
        total, wanted = np.array(past + length, np.int32), np.zeros(0, np.int64)
        hidden = np.zeros((count, length, self._hidden_size), np.float32)
        binding = self._new_binding()
        caches.bind(binding, 0, count)
        for name, array in (
            ("input_ids", ids),
            ("seqlens_k", seqlens),
            ("total_len", total),
            ("logit_pos", wanted),
        ):
            bind_input(binding, name, array, array.shape)
        binding.bind_output(HIDDEN, "cpu", 0, np.float32, hidden.shape, hidden.ctypes.data)
        self._run(binding)
        return hidden


def together(lengths: Sequence[int]) -> Iterator[list[int]]:
    """Say which texts are computed in one run: neighbours in length, by their places."""
    group: list[int] = []
    for place in sorted(range(len(lengths)), key=lengths.__getitem__):
        # the newest is the longest, and the others are filled up to it
        if group and (len(group) + 1) * lengths[place] > RUN_TOKENS_MAX:
            yield group
            group = []
        group.append(place)
    if group:
        yield group
