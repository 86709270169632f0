"""The layout of rbee's converter: lengths and wanted logits are inputs, one buffer holds the past.

A binding is made once for each length of a run and reads and writes arrays that keep their places.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rbee_worker.layouts.buffers import Caches
from rbee_worker.layouts.signature import LOGITS

Floats = NDArray[np.float32]

BINDINGS_KEPT_MAX = 8  # building one costs more than a millisecond


@dataclass(slots=True)
class _Bound:
    """A binding and the arrays that it reads and writes, which keep their places in memory."""

    binding: Any
    ids: NDArray[np.int64]
    seqlens: NDArray[np.int32]
    total: NDArray[np.int32]
    logit_positions: NDArray[np.int64]
    logits: Floats


class OwnCache:
    """The cache of one sequence and the runs over it."""

    def __init__(
        self,
        new_binding: Callable[[], Any],
        run: Callable[[Any], None],
        caches: Caches,
        vocab_size: int,
    ) -> None:
        self._new_binding, self._run = new_binding, run
        self._caches, self._vocab_size = caches, vocab_size
        self._bindings: dict[int, _Bound] = {}

    def forward(self, tokens: Sequence[int], past: int) -> Floats:
        """Run the model and return the last logits, valid until the next call.

        Raises:
            ComputeError: it could not be computed.
        """
        bound = self._bindings.get(len(tokens)) or self._bind(len(tokens))
        bound.ids[0] = tokens
        bound.seqlens[0] = past + len(tokens) - 1
        bound.total[...] = past + len(tokens)
        bound.logit_positions[0] = len(tokens) - 1
        self._run(bound.binding)
        return bound.logits[0]

    def _bind(self, length: int) -> _Bound:
        binding: Any = self._new_binding()
        bound = _Bound(
            binding,
            ids=np.zeros((1, length), np.int64),
            seqlens=np.zeros(1, np.int32),
            total=np.zeros((), np.int32),
            logit_positions=np.zeros(1, np.int64),
            logits=np.zeros((1, self._vocab_size), np.float32),
        )
        for name, array in (
            ("input_ids", bound.ids),
            ("seqlens_k", bound.seqlens),
            ("total_len", bound.total),
            ("logit_pos", bound.logit_positions),
        ):
            binding.bind_input(name, "cpu", 0, array.dtype.type, array.shape, array.ctypes.data)
        logits = bound.logits
        binding.bind_output(LOGITS, "cpu", 0, np.float32, logits.shape, logits.ctypes.data)
        self._caches.bind(binding)
        if len(self._bindings) >= BINDINGS_KEPT_MAX:
            del self._bindings[next(iter(self._bindings))]
        self._bindings[length] = bound
        return bound
