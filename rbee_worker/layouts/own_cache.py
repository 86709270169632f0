"""The layout of rbee's converter: lengths and wanted logits are inputs, one buffer holds the past.

What a run reads and writes besides its caches lies in arrays that all bindings share: a step writes
some numbers and runs, and many bindings hold the logits' memory once.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rbee_worker.layouts.bindings import Bindings, Bound
from rbee_worker.layouts.buffers import Caches
from rbee_worker.layouts.signature import LOGITS

Floats = NDArray[np.float32]


class OwnCache:
    """The caches of all sequences and the runs over them."""

    def __init__(
        self,
        new_binding: Callable[[], Any],
        run: Callable[[Any], None],
        caches: Caches,
        *,
        rows: int,
        max_len: int,
        vocab_size: int,
    ) -> None:
        self._run, self._caches, self._vocab_size = run, caches, vocab_size
        self._bindings = Bindings(new_binding, caches)
        tokens_max = max(rows, max_len)
        self._ids = np.zeros(tokens_max, np.int64)
        self._seqlens = np.zeros(rows, np.int32)
        self._total = np.zeros((), np.int32)
        self._positions = np.zeros(tokens_max, np.int64)
        self._every = np.arange(tokens_max)
        self._logits = np.zeros((rows, vocab_size), np.float32)

    def prefill(self, row: int, tokens: Sequence[int], past: int, logit_count: int) -> Floats:
        """Compute tokens of one row that follow `past` others.

        Raises:
            RbeeError: it could not be computed.
            MemoryError: there is no room for so many logits.
        """
        length = len(tokens)
        self._ids[:length] = tokens
        self._seqlens[0] = past + length - 1
        self._total[...] = past + length
        self._positions[:logit_count] = self._every[length - logit_count : length]
        return self._forward(row, 1, length, logit_count)

    def decode(self, first: int, tokens: Sequence[int], lengths: Sequence[int]) -> Floats:
        """Compute one token for each of some rows.

        Raises:
            RbeeError: it could not be computed.
        """
        count = len(tokens)
        self._ids[:count] = tokens
        self._seqlens[:count] = lengths
        self._total[...] = max(lengths) + 1
        self._positions[:count] = self._every[:count]
        return self._forward(first, count, 1, count)

    def _forward(self, first: int, count: int, length: int, logit_count: int) -> Floats:
        if logit_count > len(self._logits):
            self._logits = np.zeros((logit_count, self._vocab_size), np.float32)
            self._bindings.forget()  # they point at the array that was too small
        bound = self._bindings.of(first, count)
        form = (count, length, logit_count)
        if bound.form != form:
            self._shape(bound, *form)
        self._run(bound.binding)
        return self._logits[:logit_count]

    def _shape(self, bound: Bound, count: int, length: int, logit_count: int) -> None:
        binding = bound.binding
        for name, array, shape in (
            ("input_ids", self._ids, (count, length)),
            ("seqlens_k", self._seqlens, (count,)),
            ("total_len", self._total, ()),
            ("logit_pos", self._positions, (logit_count,)),
        ):
            bind_input(binding, name, array, shape)
        shape = (logit_count, self._vocab_size)
        binding.bind_output(LOGITS, "cpu", 0, np.float32, shape, self._logits.ctypes.data)
        bound.form = (count, length, logit_count)


def bind_input(binding: Any, name: str, array: NDArray[Any], shape: tuple[int, ...]) -> None:
    """Bind the begin of an array as an input of that shape; it must live as long as it is bound."""
    binding.bind_input(name, "cpu", 0, array.dtype.type, shape, array.ctypes.data)
