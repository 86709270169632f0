"""A graph with its KV cache in float32 made into one with a cache of 8-bit integers. Pure.

Keys and values are rounded as they enter the cache, and attention reads nothing but the cache, so a
token's logits are the same to the bit however the tokens before it were cut into runs.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx as untyped_onnx
from numpy.typing import NDArray

onnx: Any = untyped_onnx

ATTENTION = "GroupQueryAttention"
PAST_INPUTS = slice(3, 5)  # of that operator: past key, past value
SCALES_AT = 12  # its inputs from here on: scales of keys, scales of values
PAST, PRESENT = "past_key_values.", "present."
BITS = 8


def with_int8_cache(model: bytes, scales: Mapping[str, NDArray[np.float32]]) -> bytes:
    """Return the graph with integers for `past_key_values.*` and `present.*`.

    Args:
        model: a graph of our converter, as a file has it.
        scales: for each past's name, float32 [kv_heads, 1, head_dim].
    """
    found = onnx.load_model_from_string(model)
    for value in (*found.graph.input, *found.graph.output):
        if value.name.startswith((PAST, PRESENT)):
            value.type.tensor_type.elem_type = onnx.TensorProto.INT8
    for node in found.graph.node:
        if node.op_type == ATTENTION:
            _narrow(node, found.graph, scales)
    return bytes(found.SerializeToString(deterministic=True))


def _narrow(node: Any, graph: Any, scales: Mapping[str, NDArray[np.float32]]) -> None:
    node.input.extend([""] * (SCALES_AT - len(node.input)))
    for past in list(node.input[PAST_INPUTS]):
        name = f"{past}.scale"
        graph.initializer.append(onnx.numpy_helper.from_array(scales[past], name))
        node.input.append(name)
    kinds = {"k_quant_type": "PER_CHANNEL", "v_quant_type": "PER_CHANNEL"}
    for key, value in {**kinds, "kv_cache_bit_width": BITS}.items():
        node.attribute.append(onnx.helper.make_attribute(key, value))
