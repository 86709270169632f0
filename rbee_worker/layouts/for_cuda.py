"""Our converter's graph, changed for CUDA: there, attention takes numbers of 16 bits alone. Pure.

Around each attention, queries, keys, values and rotary tables become float16 and what comes out
float32 again; the caches become float16, whatever they were. All else stays. That the result is a
right graph is tested on the CPU; on a card it is unproven.
"""

from typing import Any

import onnx as untyped_onnx

onnx: Any = untyped_onnx

ATTENTION = "GroupQueryAttention"
STATES, TABLES = (0, 1, 2), (7, 8)  # inputs: query, key, value; cos, sin
SCALES = (12, 13)  # inputs: of keys and values of 8 bits
CACHES = ("past_key_values.", "present.")
OF_8_BITS = frozenset({"k_quant_type", "v_quant_type", "kv_cache_bit_width"})


def for_cuda(model: Any) -> Any:
    """Return a graph of our layout as CUDA can compute it; `model` stays as it is."""
    made = onnx.ModelProto()
    made.CopyFrom(model)
    graph = made.graph
    nodes: list[Any] = []
    halves: dict[str, str] = {}  # by what they are made of: tables are shared by layers
    for node in list(graph.node):
        if node.op_type != ATTENTION:
            nodes.append(node)
            continue
        for place in (*STATES, *TABLES):
            if place < len(node.input) and node.input[place]:
                node.input[place] = _half(node.input[place], halves, nodes)
        nodes += [node, _widened(node)]
        _drop_scales(node)
    del graph.node[:]
    graph.node.extend(nodes)
    for value in (*graph.input, *graph.output):
        if value.name.startswith(CACHES):
            value.type.tensor_type.elem_type = onnx.TensorProto.FLOAT16
    _drop_unused(graph)
    return made


def _half(name: str, halves: dict[str, str], nodes: list[Any]) -> str:
    if name not in halves:
        halves[name] = f"{name}.half"
        nodes.append(_cast(name, halves[name], onnx.TensorProto.FLOAT16))
    return halves[name]


def _widened(node: Any) -> Any:
    name = node.output[0]
    node.output[0] = f"{name}.half"
    return _cast(node.output[0], name, onnx.TensorProto.FLOAT)


def _cast(source: str, target: str, kind: int) -> Any:
    return onnx.helper.make_node("Cast", [source], [target], name=f"{target}.cast", to=kind)


def _drop_scales(node: Any) -> None:
    inputs = ["" if place in SCALES else name for place, name in enumerate(node.input)]
    while not inputs[-1]:
        inputs.pop()
    del node.input[:]
    node.input.extend(inputs)
    kept = [each for each in node.attribute if each.name not in OF_8_BITS]
    del node.attribute[:]
    node.attribute.extend(kept)


def _drop_unused(graph: Any) -> None:
    used = {name for node in graph.node for name in node.input}
    kept = [each for each in graph.initializer if each.name in used]
    del graph.initializer[:]
    graph.initializer.extend(kept)
