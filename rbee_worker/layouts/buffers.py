"""The KV cache of one sequence as buffers that the model reads and writes in place."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from rbee_worker.layouts.signature import Signature


class Caches:
    """A buffer [1, kv_heads, max_len, head_dim] for the keys and one for the values of each layer.

    Bound by pointer as past and as present, so that nothing is copied.
    """

    def __init__(self, signature: Signature, *, kv_heads: int, head_dim: int, max_len: int) -> None:
        self._names = signature.caches
        self._kind: Any = np.dtype(signature.cache_kind).type
        shape = (1, kv_heads, max_len, head_dim)
        # zeros come as untouched pages: memory is taken as tokens come
        self._buffers: list[NDArray[Any]] = [np.zeros(shape, self._kind) for _ in self._names]

    def bind(self, binding: Any) -> None:
        """Bind every buffer."""
        for (past, present), buffer in zip(self._names, self._buffers, strict=True):
            place = ("cpu", 0, self._kind, buffer.shape, buffer.ctypes.data)
            binding.bind_input(past, *place)
            binding.bind_output(present, *place)
