"""Running a converted model outside of a worker, and how far its logits are from others."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx as untyped_onnx
import onnxruntime as untyped_ort
from numpy.typing import NDArray

from rbee_worker.description import ModelDescription

onnx: Any = untyped_onnx
ort: Any = untyped_ort

Floats = NDArray[np.float32]
MODEL_FILE = "model.onnx"
FLOAT_ACTIVATIONS_FILE = "float_activations.onnx"
ACCURACY_FLOAT = 1
FLOAT_CACHE_FILE = "float_cache.onnx"
SCALES_AT = 12  # of the inputs of GroupQueryAttention
CACHE_ATTRIBUTES = ("k_quant_type", "v_quant_type", "kv_cache_bit_width")
CACHE_KINDS = {"tensor(float)": np.float32, "tensor(int8)": np.int8}


def logits_of(
    folder: Path, tokens: list[int], *, runs: Sequence[int] = (), file: str = MODEL_FILE
) -> Floats:
    """Return all logits of a converted model.

    Args:
        folder: of the model.
        tokens: the sequence.
        runs: tokens in each run; all in one if there is none. What is left has a run of its own.
        file: the graph.
    """
    found = ModelDescription.read(folder)
    options: Any = ort.SessionOptions()
    options.intra_op_num_threads = 2
    session: Any = ort.InferenceSession(
        str(folder / file), options, providers=["CPUExecutionProvider"]
    )
    kinds = {each.name: CACHE_KINDS.get(each.type) for each in session.get_inputs()}
    size = (1, found.kv_heads, len(tokens), found.head_dim)
    caches: dict[str, NDArray[Any]] = {
        f"{layer}.{part}": np.zeros(size, kinds[f"past_key_values.{layer}.{part}"])
        for layer in range(found.layers)
        for part in ("key", "value")
    }
    rows: list[Floats] = []
    first = 0
    for length in (*runs, len(tokens) - sum(runs)):
        last = first + length
        inputs = {
            "input_ids": np.array([tokens[first:last]], np.int64),
            "seqlens_k": np.array([last - 1], np.int32),
            "total_len": np.array(last, np.int32),
            "logit_pos": np.arange(length),
            **{f"past_key_values.{name}": cache for name, cache in caches.items()},
        }
        names = ["logits", *(f"present.{name}" for name in caches)]
        logits, *present = session.run(names, inputs)
        caches = dict(zip(caches, present, strict=True))
        rows.append(logits)
        first = last
    return np.concatenate(rows)


def with_float_activations(folder: Path) -> str:
    """Write the graph anew so that nothing but the weights is rounded, and return the file's name.

    What is left between its logits and the reference's is then the weights', and the sums' order.
    """
    model: Any = onnx.load(folder / with_float_cache(folder), load_external_data=False)
    for node in model.graph.node:
        for attribute in node.attribute:
            if attribute.name == "accuracy_level":
                attribute.i = ACCURACY_FLOAT
    onnx.save(model, folder / FLOAT_ACTIVATIONS_FILE)
    return FLOAT_ACTIVATIONS_FILE


def with_float_cache(folder: Path) -> str:
    """Write the graph anew with a KV cache in float32, and return the file's name."""
    model: Any = onnx.load(folder / MODEL_FILE, load_external_data=False)
    for value in (*model.graph.input, *model.graph.output):
        if value.name.startswith(("past_key_values.", "present.")):
            value.type.tensor_type.elem_type = onnx.TensorProto.FLOAT
    for node in model.graph.node:
        if node.op_type == "GroupQueryAttention":
            del node.input[SCALES_AT:]
            kept = [each for each in node.attribute if each.name not in CACHE_ATTRIBUTES]
            del node.attribute[:]
            node.attribute.extend(kept)
    onnx.save(model, folder / FLOAT_CACHE_FILE)
    return FLOAT_CACHE_FILE


def log_softmax(logits: Floats) -> Floats:
    """Return the logarithms of the probabilities of each row."""
    shifted = logits - logits.max(axis=-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))


def divergence(expected: Floats, found: Floats) -> float:
    """Return the mean KL divergence per position, in nats."""
    expected, found = log_softmax(expected), log_softmax(found)
    return float((np.exp(expected) * (expected - found)).sum(axis=-1).mean())


def agreement(expected: Floats, found: Floats) -> float:
    """Return the share of positions with the same likeliest token."""
    return float((expected.argmax(axis=-1) == found.argmax(axis=-1)).mean())
