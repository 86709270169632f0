"""Storing a file's matrices in a graph, each streamed into the form that it is to have."""

from collections.abc import Generator, Sequence
from dataclasses import dataclass

import numpy as np

from rbee_worker.convert.forms import BITS, Form, Precision, form_of
from rbee_worker.convert.gguf import Bytes, Floats, GgufFile
from rbee_worker.convert.graph import Graph
from rbee_worker.convert.quantize import (
    BLOCK,
    Quantized,
    from_q4_0,
    from_q4_1,
    from_q8_0,
    to_int8,
)

WEIGHTS_AT_ONCE = 1 << 20
FROM_BLOCKS = {"Q8_0": from_q8_0, "Q4_0": from_q4_0, "Q4_1": from_q4_1}
FLOAT32, UINT8 = np.dtype(np.float32), np.dtype(np.uint8)


@dataclass(frozen=True, slots=True)
class Part:
    """A matrix of the file, or the upper part of what is stored as one.

    With `heads` its rows are those of heads, in which rotary pairs lie side by side; they are
    stored as the operator wants them, as the two halves of a head.
    """

    tensor: str
    rows: int
    heads: int = 0


@dataclass(frozen=True, slots=True)
class Matrix:
    """A stored matrix: the tensors `name.q`, `name.s` and perhaps `name.m`, or `name.w`.

    These are its integers, the scales and offsets of its blocks, or its floats.
    """

    name: str
    form: Form
    rows: int
    columns: int


class Matrices:
    """The matrices of one file on their way into one graph."""

    def __init__(self, file: GgufFile, graph: Graph, precision: Precision) -> None:
        self._file, self._graph, self._precision = file, graph, precision

    def form(self, part: Part) -> Form:
        """Return the form in which a part is to be stored.

        Raises:
            GgufDamagedError: there is no such tensor.
        """
        return form_of(self._file.kind(part.tensor), self._precision)

    def store(self, name: str, parts: Sequence[Part], columns: int) -> Matrix:
        """Store parts of one form as one matrix, under each other.

        Raises:
            GgufDamagedError: a tensor is missing, or holds what is no number.
            UnimplementedError: a tensor is of a shape or a quantisation that is not known.
            FailedPreconditionError: the file cannot be read.
        """
        matrix = Matrix(name, self.form(parts[0]), sum(part.rows for part in parts), columns)
        if matrix.form is Form.FLOAT:
            self._store_floats(matrix, parts)
        else:
            self._store_blocks(matrix, parts)
        return matrix

    def _store_floats(self, matrix: Matrix, parts: Sequence[Part]) -> None:
        floats = (
            self._file.dequantized(part.tensor, rows)
            for part in parts
            for rows in self._rows(part, matrix.columns)
        )
        self._graph.stream(f"{matrix.name}.w", FLOAT32, (matrix.rows, matrix.columns), floats)

    def _store_blocks(self, matrix: Matrix, parts: Sequence[Part]) -> None:
        name, blocks = matrix.name, (matrix.rows, matrix.columns // BLOCK)
        scales: list[Floats] = []
        offsets: list[Floats] = []

        def integers() -> Generator[Bytes]:
            for part in parts:
                for rows in self._rows(part, matrix.columns):
                    found = self._quantized(part, rows)
                    scales.append(found.scales)
                    if found.offsets is not None:
                        offsets.append(found.offsets)
                    yield found.integers

        packed = (*blocks, BLOCK * BITS[matrix.form] // 8)
        self._graph.stream(f"{name}.q", UINT8, packed, integers())
        self._graph.stream(f"{name}.s", FLOAT32, blocks, scales)
        if matrix.form is Form.INT4_OFFSET:
            self._graph.stream(f"{name}.m", FLOAT32, blocks, offsets)

    def _rows(self, part: Part, columns: int) -> Generator[Bytes]:
        at_once = max(1, WEIGHTS_AT_ONCE // columns)
        if not part.heads:
            yield from self._file.rows(part.tensor, (part.rows, columns), at_once=at_once)
            return
        head = part.rows // part.heads
        at_once = max(1, at_once // head) * head
        for rows in self._file.rows(part.tensor, (part.rows, columns), at_once=at_once):
            pairs = rows.reshape(len(rows) // head, head // 2, 2, -1)
            yield pairs.swapaxes(1, 2).reshape(len(rows), -1)

    def _quantized(self, part: Part, rows: Bytes) -> Quantized:
        kind = self._file.kind(part.tensor)
        if kind not in FROM_BLOCKS or form_of(kind, Precision.EXACT) is not self.form(part):
            return to_int8(self._file.dequantized(part.tensor, rows))
        found = FROM_BLOCKS[kind](rows)
        for floats in (found.scales, found.offsets):
            if floats is not None:
                self._file.check_finite(part.tensor, floats)
        return found
