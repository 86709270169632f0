"""Our converter's graph with what it may have besides: a cache of 8 bits, hidden states."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx as untyped_onnx

onnx: Any = untyped_onnx
make: Any = onnx.helper

GRAPH = "model.onnx"
SCALES_FROM = 12  # inputs of GroupQueryAttention
FLOAT, INT8 = 1, 3  # of onnx.TensorProto
HIDDEN = "hidden_states"


def with_hidden_states(folder: Path) -> None:
    """Let the graph put out what its last layer makes of each token."""
    model = _read(folder)
    if HIDDEN in [each.name for each in model.graph.output]:
        return
    last = [each for each in model.graph.node if "SimplifiedLayerNorm" in each.op_type][-1]
    model.graph.node.append(make.make_node("Identity", [last.output[0]], [HIDDEN]))
    sizes = ["batch", "sequence", None]
    model.graph.output.append(make.make_tensor_value_info(HIDDEN, FLOAT, sizes))
    _write(folder, model)


def with_int8_cache(folder: Path, *, heads: int, size: int, greatest: float = 8.0) -> None:
    """Let keys and values, of at most `greatest`, be kept as 8 bits."""
    model = _read(folder)
    caches = [
        each
        for each in [*model.graph.input, *model.graph.output]
        if each.name.startswith(("past_key_values.", "present."))
    ]
    if caches[0].type.tensor_type.elem_type == INT8:
        return
    scales = np.full((heads, 1, size), greatest / 127, np.float32)
    model.graph.initializer.append(onnx.numpy_helper.from_array(scales, "cache.scales"))
    for node in model.graph.node:
        if node.op_type == "GroupQueryAttention":
            node.input.extend([""] * (SCALES_FROM - len(node.input)) + ["cache.scales"] * 2)
            for name in ("k_quant_type", "v_quant_type"):
                node.attribute.append(make.make_attribute(name, "PER_CHANNEL"))
            node.attribute.append(make.make_attribute("kv_cache_bit_width", 8))
    for each in caches:
        each.type.tensor_type.elem_type = INT8
    _write(folder, model)


def _read(folder: Path) -> Any:
    return onnx.load_model(folder / GRAPH, load_external_data=False)


def _write(folder: Path, model: Any) -> None:
    (folder / GRAPH).write_bytes(model.SerializeToString())
