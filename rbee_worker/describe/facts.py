"""What the graph itself says of the model: its sizes, its weights and how they are stored. Pure.

Weights are counted where operators read them, since a quantised matrix stands in the file as bytes
with scales beside it; the rest of the numbers are counted as they stand. A matrix that is stored
once and read twice counts once.
"""

import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import onnx as untyped_onnx

from rbee_worker.layouts.confined import place_of
from rbee_worker.layouts.graph_file import GraphFile
from rbee_worker.layouts.signature import Signature

onnx: Any = untyped_onnx

KINDS = onnx.TensorProto
FLOATS = {KINDS.FLOAT: "float32", KINDS.FLOAT16: "float16", KINDS.BFLOAT16: "bfloat16"}
HALF = "float16"
BYTE_BITS = 8
ROTARY_ROWS = 7  # the input of GroupQueryAttention that has a row for each position

# operator: the input that is the matrix, and those that only help to read it
MATRIX_INPUTS = {
    "MatMulNBits": (1, (2, 3, 4)),
    "MatMulBnb4": (1, (2,)),
    "GatherBlockQuantized": (0, (2, 3)),
    "DequantizeLinear": (0, (1, 2)),
    "MatMulInteger": (1, (2, 3)),
    "DynamicQuantizeMatMul": (1, (2, 3)),
    "MatMulIntegerToFloat": (1, (2, 3, 4, 5)),
}
TABLE_INPUTS = {"GroupQueryAttention": (7, 8), "RotaryEmbedding": (2, 3)}


@dataclass(frozen=True, slots=True)
class Weights:
    """`parameters` is their number; `quantization` how most of them are stored."""

    parameters: int
    quantization: str


def weights_of(graph: GraphFile, signature: Signature, tied_count: int) -> Weights:
    """Count the weights of a graph.

    Args:
        graph: with all its tensors.
        signature: of the graph.
        tied_count: size of a matrix that the model has once however often it is stored, or 0.
    """
    tensors = {each.name: each for each in graph.tensors}
    counted: dict[Any, tuple[str, int]] = {}
    helpers = {
        node.input[place]
        for node in graph.nodes
        for place in _helpers(node.op_type)
        if place < len(node.input)
    }
    for node in graph.nodes:
        for name, form, count in _matrices(node, tensors):
            counted.setdefault(_key(tensors[name]), (form, count))
    matrices = set(counted)
    for name, tensor in tensors.items():
        key = _key(tensor)
        if tensor.data_type in FLOATS and name not in helpers and key not in matrices:
            counted.setdefault(key, (FLOATS[tensor.data_type], math.prod(tensor.dims)))
    sums: Counter[str] = Counter()
    for form, count in counted.values():
        sums[form] += count
    copies = [form for form, count in counted.values() if count == tied_count]
    for form in copies[1:]:
        sums[form] -= tied_count
    common = sums.most_common(1)[0][0] if sums else "unknown"
    is_mixed = signature.cache_kind == HALF and common not in FLOATS.values()
    return Weights(max(1, sums.total()), f"{common}-{HALF}" if is_mixed else common)


def heads_of(graph: GraphFile) -> int | None:
    """Return the heads of attention, where an operator says them."""
    attentions = (node for node in graph.main_nodes if node.op_type == "GroupQueryAttention")
    first = next(attentions, None)
    return None if first is None else _number(first, "num_heads", 0) or None


def positions_of(graph: GraphFile) -> int | None:
    """Return for how many positions the graph has rotary rows, where that is seen."""
    tensors = {each.name: each for each in graph.tensors}
    rows = [
        int(tensors[node.input[ROTARY_ROWS]].dims[0])
        for node in graph.main_nodes
        if node.op_type == "GroupQueryAttention"
        and len(node.input) > ROTARY_ROWS
        and node.input[ROTARY_ROWS] in tensors
    ]
    return min(rows, default=None)


def _helpers(operator: str) -> tuple[int, ...]:
    return MATRIX_INPUTS.get(operator, (0, ()))[1] + TABLE_INPUTS.get(operator, ())


def _matrices(node: Any, tensors: dict[str, Any]) -> Iterator[tuple[str, str, int]]:
    place = MATRIX_INPUTS.get(node.op_type, (len(node.input), ()))[0]
    tensor = tensors.get(node.input[place]) if place < len(node.input) else None
    if tensor is None:
        return
    bits = _number(node, "bits", _bits(tensor))
    block = _number(node, "block_size", 0)
    count = math.prod(tensor.dims) * _bits(tensor) // bits
    if node.op_type in ("MatMulNBits", "MatMulBnb4"):
        count = _number(node, "N", 1) * _number(node, "K", 1)
    form = "bnb4" if node.op_type == "MatMulBnb4" else f"int{bits}"
    yield tensor.name, f"{form}-block{block}" if block else form, count


def _bits(tensor: Any) -> int:
    return 4 if tensor.data_type in (KINDS.INT4, KINDS.UINT4) else BYTE_BITS


def _number(node: Any, name: str, default: int) -> int:
    found = next((int(each.i) for each in node.attribute if each.name == name), default)
    return found if found > 0 else default


def _key(tensor: Any) -> Any:
    is_external = tensor.data_location == KINDS.EXTERNAL
    return place_of(tensor)[:2] if is_external else tensor.name
