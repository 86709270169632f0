"""The KV cache of many sequences as buffers that the model reads and writes in place.

A sequence has a row of each buffer; rows side by side are computed in one run.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheForm:
    """The buffers of a cache: what they are called, of what type, and how large each is."""

    names: Sequence[tuple[str, str]]
    kind: str
    rows: int
    kv_heads: int
    max_len: int
    head_dim: int

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """The sizes of one buffer."""
        return (self.rows, self.kv_heads, self.max_len, self.head_dim)

    @property
    def size_bytes(self) -> int:
        """The size of all buffers."""
        return len(self.names) * prod(self.shape) * np.dtype(self.kind).itemsize


class Caches(Protocol):
    """A buffer [rows, kv_heads, max_len, head_dim] for the keys and one for the values per layer.

    Bound by pointer as past and as present, so that nothing is copied in a run.
    """

    def bind(self, binding: Any, first: int, count: int) -> None:
        """Bind `count` rows from `first` on."""

    def copy(self, source: int, target: int, length: int) -> None:
        """Copy the first `length` tokens of a row to another."""

    def swap(self, one: int, other: int, length: int) -> None:
        """Let two rows change places, with the first `length` tokens of both."""


class HostCaches:
    """Caches in the machine's memory."""

    def __init__(self, form: CacheForm) -> None:
        """Take the buffers.

        Raises:
            MemoryError: there is not so much memory.
        """
        self._names = form.names
        self._kind: Any = np.dtype(form.kind).type
        # zeros come as untouched pages: memory is taken as tokens come
        self._buffers: list[NDArray[Any]] = [np.zeros(form.shape, form.kind) for _ in form.names]

    def bind(self, binding: Any, first: int, count: int) -> None:
        """Bind `count` rows from `first` on."""
        for (past, present), buffer in zip(self._names, self._buffers, strict=True):
            rows = buffer[first : first + count]
            place = ("cpu", 0, self._kind, rows.shape, rows.ctypes.data)
            binding.bind_input(past, *place)
            binding.bind_output(present, *place)

    def copy(self, source: int, target: int, length: int) -> None:
        """Copy the first `length` tokens of a row to another."""
        for buffer in self._buffers:
            buffer[target, :, :length] = buffer[source, :, :length]

    def swap(self, one: int, other: int, length: int) -> None:
        """Let two rows change places, with the first `length` tokens of both."""
        for buffer in self._buffers:
            kept = buffer[one, :, :length].copy()
            buffer[one, :, :length] = buffer[other, :, :length]
            buffer[other, :, :length] = kept
