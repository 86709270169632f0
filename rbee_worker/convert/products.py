"""The nodes that multiply by a stored matrix, or look up its rows, whatever its form.

With a row in blocks b of 32, the sum of (scale * q + offset[b]) * x is the sum of scale * q * x,
and that of offset[b] times the sum of x in b: so the sums of an input's blocks, taken once, serve
all products of that input, and the integers are multiplied by the fast operator.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from rbee_worker.convert.forms import BITS, Form
from rbee_worker.convert.graph import Graph
from rbee_worker.convert.matrices import Matrices, Matrix, Part
from rbee_worker.convert.quantize import BLOCK

ACCURACY_INT8 = 4  # MatMulNBits computes with 8-bit activations: the fast path
SEQUENCE_RANK, ROWS_RANK = 3, 2  # of [batch, sequence, columns] and [rows, columns]


class Products:
    """The products of one graph. Inputs are [batch, sequence, columns] if nothing else is said."""

    def __init__(self, graph: Graph, matrices: Matrices) -> None:
        self._graph, self._matrices = graph, matrices
        self._block_sums: dict[str, str] = {}

    def linear(
        self, x: str, name: str, parts: Sequence[Part], columns: int, *, rank: int = SEQUENCE_RANK
    ) -> str:
        """Store the parts and multiply by them; return the name of the results, side by side.

        Parts of one form are one product; otherwise each is its own.

        Raises:
            GgufDamagedError: a tensor is missing, or holds what is no number.
            UnimplementedError: a tensor is of a shape or a quantisation that is not known.
            FailedPreconditionError: the file cannot be read.
        """
        if len({self._matrices.form(part) for part in parts}) == 1:
            matrix = self._matrices.store(name, parts, columns)
            return self.by(x, matrix, name, rank=rank)
        products: list[str] = []
        for number, part in enumerate(parts):
            matrix = self._matrices.store(f"{name}.{number}", [part], columns)
            products.append(self.by(x, matrix, matrix.name, rank=rank))
        return self._graph.node("Concat", products, [f"{name}.y"], axis=-1)

    def by(self, x: str, matrix: Matrix, name: str, *, rank: int = SEQUENCE_RANK) -> str:
        """Multiply by a matrix that is stored."""
        graph = self._graph
        if matrix.form is Form.FLOAT:
            # transposed as it is multiplied: it lies as it is streamed, and as rows are looked up
            return graph.ms_node("FusedMatMul", [x, f"{matrix.name}.w"], [f"{name}.y"], transB=1)
        y = graph.ms_node(
            "MatMulNBits",
            [x, f"{matrix.name}.q", f"{matrix.name}.s"],
            [f"{name}.y"],
            N=matrix.rows,
            K=matrix.columns,
            bits=BITS[matrix.form],
            block_size=BLOCK,
            accuracy_level=ACCURACY_INT8,
        )
        if matrix.form is not Form.INT4_OFFSET:
            return y
        sums = self._sums(x, rank, matrix.columns)
        rest = graph.ms_node("FusedMatMul", [sums, f"{matrix.name}.m"], [f"{name}.rest"], transB=1)
        return graph.node("Add", [y, rest], [f"{name}.whole"])

    def rows(self, ids: str, matrix: Matrix) -> str:
        """Look up rows of a stored matrix by numbers [batch, sequence]."""
        graph, name = self._graph, matrix.name
        if matrix.form is Form.FLOAT:
            return graph.node("Gather", [f"{name}.w", ids], [f"{name}.rows"])
        bits = BITS[matrix.form]
        row_bytes = matrix.columns * bits // 8
        flat = graph.same_data(f"{name}.flat", f"{name}.q", (matrix.rows, row_bytes))
        rows = graph.ms_node(
            "GatherBlockQuantized",
            [flat, ids, f"{name}.s"],
            [f"{name}.rows"],
            gather_axis=0,
            quantize_axis=1,
            block_size=BLOCK,
            bits=bits,
        )
        return rows if matrix.form is not Form.INT4_OFFSET else self._moved(rows, ids, matrix)

    def _moved(self, rows: str, ids: str, matrix: Matrix) -> str:
        graph, name = self._graph, matrix.name
        offsets = graph.node("Gather", [f"{name}.m", ids], [f"{name}.offsets"])
        axis = graph.constant("last.axis", _integers(-1))
        column = graph.node("Unsqueeze", [offsets, axis], [f"{name}.column"])
        blocks = self._blocks(rows, SEQUENCE_RANK, matrix.columns)
        moved = graph.node("Add", [blocks, column], [f"{name}.moved"])
        shape = graph.constant("rows.shape", _integers(0, 0, -1))
        return graph.node("Reshape", [moved, shape], [f"{name}.whole"])

    def _sums(self, x: str, rank: int, columns: int) -> str:
        if x not in self._block_sums:
            # counted from the front: from the end, ONNX Runtime sums no rows into another shape
            axis = self._graph.constant(f"blocks.{rank}.axis", _integers(rank))
            self._block_sums[x] = self._graph.node(
                "ReduceSum", [self._blocks(x, rank, columns), axis], [f"{x}.sums"], keepdims=0
            )
        return self._block_sums[x]

    def _blocks(self, x: str, rank: int, columns: int) -> str:
        # the number of blocks is said, since none can be inferred where a run wants no logits
        sizes = _integers(*[0] * (rank - 1), columns // BLOCK, BLOCK)
        shape = self._graph.constant(f"blocks.{rank}.{columns}.shape", sizes)
        return self._graph.node("Reshape", [x, shape], [f"{x}.blocks"])


def _integers(*values: int) -> NDArray[np.int64]:
    return np.array(values, np.int64)
