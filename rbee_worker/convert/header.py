"""A GGUF's header: its metadata by key, and of each tensor where it lies and how it is stored.

Read here and not by the `gguf` package, which makes an array of every token: for a vocabulary of
262,144 tokens that takes 700 MB and 8 seconds, and a length that lies is believed.

Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
"""

import os
from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any, BinaryIO

import gguf as untyped_gguf
import numpy as np

gguf: Any = untyped_gguf

MAGIC = b"GGUF"
VERSIONS = (2, 3)
SWAPPED_VERSIONS = tuple(each << 24 for each in VERSIONS)  # as the other byte order has them
ALIGNMENT_KEY, ALIGNMENT = "general.alignment", 32
TEXT, LIST = 8, 9
SCALARS = {
    0: "<u1",
    1: "<i1",
    2: "<u2",
    3: "<i2",
    4: "<u4",
    5: "<i4",
    6: "<f4",
    7: "?",
    10: "<u8",
    11: "<i8",
    12: "<f8",
}
DIMENSIONS_MAX = 4
ITEMS_MAX = 8_000_000  # ten times what a vocabulary of 256,000 tokens with merges has


class MalformedError(ValueError):
    """The bytes are no header of a GGUF, or the file ends before what it announces."""


class ByteOrderError(ValueError):
    """The file is of the other byte order."""


class UnknownKindError(ValueError):
    """A tensor is stored in a way that this version has not heard of."""

    def __init__(self, tensor: str, number: int) -> None:
        super().__init__(tensor, number)
        self.tensor, self.number = tensor, number


@dataclass(frozen=True, slots=True)
class Tensor:
    """One tensor of a file: `shape` has its slowest dimension first, `offset` is in bytes."""

    name: str
    kind: str
    shape: tuple[int, ...]
    offset: int

    @property
    def elements(self) -> int:
        """Numbers in it."""
        return prod(self.shape)

    @property
    def row_bytes(self) -> int:
        """Bytes of one row, which is as long as the fastest dimension."""
        per_block, block_bytes = _block_of(self.kind)
        return self.shape[-1] // per_block * block_bytes


@dataclass(frozen=True, slots=True)
class Header:
    """What a file says before its weights."""

    values: dict[str, Any]
    tensors: dict[str, Tensor]


def read_header(path: Path) -> Header:
    """Read the header of a file and check that all it announces lies within the file.

    Raises:
        OSError: it cannot be read.
        MalformedError: it is no GGUF, or not a whole one.
        ByteOrderError: it is of the other byte order.
        UnknownKindError: it has a tensor of an unknown kind.
    """
    with path.open("rb") as opened:
        return _header(_Cursor(opened, os.fstat(opened.fileno()).st_size))


class _Cursor:
    """A place in the file that only moves forward, and never beyond the end."""

    def __init__(self, opened: BinaryIO, size: int) -> None:
        self._opened, self.size = opened, size
        self.place = 0
        self._items = 0

    def take(self, count: int) -> bytes:
        if count > self.size - self.place:
            raise MalformedError
        self.place += count
        taken = self._opened.read(count)
        if len(taken) < count:
            raise MalformedError
        return taken

    def number(self, width: int) -> int:
        return int.from_bytes(self.take(width), "little")

    def text(self) -> str:
        self.count(1)
        try:
            return self.take(self.number(8)).decode()
        except UnicodeDecodeError as error:
            raise MalformedError from error

    def count(self, items: int) -> None:
        self._items += items
        if self._items > ITEMS_MAX:
            raise MalformedError


def _header(cursor: _Cursor) -> Header:
    if cursor.take(len(MAGIC)) != MAGIC:
        raise MalformedError
    version = cursor.number(4)
    if version in SWAPPED_VERSIONS:
        raise ByteOrderError
    if version not in VERSIONS:
        raise MalformedError
    tensor_count, value_count = cursor.number(8), cursor.number(8)
    values = _unique(cursor, value_count, _pair)
    found = _unique(cursor, tensor_count, _tensor)
    alignment = values.get(ALIGNMENT_KEY, ALIGNMENT)
    if not isinstance(alignment, int) or alignment < 1:
        raise MalformedError
    start = cursor.place + -cursor.place % alignment
    tensors = {name: _placed(tensor, start, cursor.size) for name, tensor in found.items()}
    return Header(values, tensors)


def _unique(
    cursor: _Cursor, count: int, read: Callable[[_Cursor], tuple[str, Any]]
) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for _ in range(count):
        name, value = read(cursor)
        if name in found:
            raise MalformedError
        found[name] = value
    return found


def _pair(cursor: _Cursor) -> tuple[str, Any]:
    key, kind = cursor.text(), cursor.number(4)
    if kind != LIST:
        return key, _values(cursor, kind, 1)[0]
    kind, count = cursor.number(4), cursor.number(8)
    return key, _values(cursor, kind, count)


def _values(cursor: _Cursor, kind: int, count: int) -> list[Any]:
    if kind == TEXT:
        return [cursor.text() for _ in range(count)]
    if kind not in SCALARS:  # a list in a list has no place in a model
        raise MalformedError
    cursor.count(count)
    scalar = np.dtype(SCALARS[kind])
    return np.frombuffer(cursor.take(count * scalar.itemsize), scalar).tolist()


def _tensor(cursor: _Cursor) -> tuple[str, Tensor]:
    name, dimensions = cursor.text(), cursor.number(4)
    if not 1 <= dimensions <= DIMENSIONS_MAX:
        raise MalformedError
    fastest_first = [cursor.number(8) for _ in range(dimensions)]
    kind, offset = cursor.number(4), cursor.number(8)
    try:
        known = str(gguf.GGMLQuantizationType(kind).name)
    except ValueError as error:
        raise UnknownKindError(name, kind) from error
    return name, Tensor(name, known, tuple(reversed(fastest_first)), offset)


def _placed(tensor: Tensor, start: int, size: int) -> Tensor:
    offset = start + tensor.offset
    per_block, _ = _block_of(tensor.kind)
    rows = prod(tensor.shape[:-1])
    if tensor.shape[-1] % per_block or offset + rows * tensor.row_bytes > size:
        raise MalformedError
    return Tensor(tensor.name, tensor.kind, tensor.shape, offset)


def _block_of(kind: str) -> tuple[int, int]:
    return gguf.GGML_QUANT_SIZES[gguf.GGMLQuantizationType[kind]]
