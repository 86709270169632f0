"""The llama architecture as an ONNX graph for ONNX Runtime's fused operators.

Per layer: one product for query, key and value; grouped-query attention with rotary embedding and
the KV cache inside; one product for gate and up. Logits are computed only where they are asked for.

Inputs: `input_ids` int64 [B, S]; `seqlens_k` int32 [B], length of each row after this run, less 1;
`total_len` int32 [], the greatest length; `logit_pos` int64 [n], positions in [0, B*S) whose logits
are wanted; `past_key_values.N.{key,value}` float32 [B, kv_heads, max, head_dim].
Outputs: `logits` float32 [n, vocabulary]; `present.N.{key,value}`, which may be the same buffers.

Source: Touvron et al. 2023, arXiv:2302.13971; rotary embedding: Su et al. 2021, arXiv:2104.09864.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from rbee_worker.convert.gguf import GgufFile
from rbee_worker.convert.graph import FLOAT, INT32, INT64, Graph
from rbee_worker.convert.quantize import BLOCK, ZERO_POINT, to_int8
from rbee_worker.convert.shape import EMBEDDING, HEAD, LAST_NORM, ROTARY_FACTORS, Shape

Floats = NDArray[np.float32]
Told = Callable[[int, int], None]


class Llama:
    """One conversion: a file's weights, of one shape, into a graph."""

    def __init__(self, file: GgufFile, shape: Shape, graph: Graph) -> None:
        self._file, self._shape, self._graph = file, shape, graph

    def build(self, told: Told) -> None:
        """Build the whole graph; `told` hears the layers done and the layers in all.

        Raises:
            GgufDamagedError: a tensor is missing.
            UnimplementedError: a tensor is of a form that is not known.
        """
        self._declare()
        x = residual = self._embedding()
        x = self._norm(x, "blk.0.attn_norm.weight")
        for layer in range(self._shape.layers):
            told(layer, self._shape.layers)
            x, residual = self._layer(layer, x, residual)
        self._head(x)
        told(self._shape.layers, self._shape.layers)

    def _declare(self) -> None:
        graph, shape = self._graph, self._shape
        graph.input("input_ids", INT64, ["batch", "sequence"])
        graph.input("seqlens_k", INT32, ["batch"])
        graph.input("total_len", INT32, [])
        graph.input("logit_pos", INT64, ["logit_count"])
        graph.output("logits", FLOAT, ["logit_count", shape.vocabulary])
        cache = ["batch", shape.kv_heads, "max_length", shape.head_dim]
        for layer in range(shape.layers):
            for part in ("key", "value"):
                graph.input(f"past_key_values.{layer}.{part}", FLOAT, cache)
                graph.output(f"present.{layer}.{part}", FLOAT, cache)
        inverse = shape.rope_base ** -(np.arange(0, shape.head_dim, 2) / shape.head_dim)
        if ROTARY_FACTORS in self._file.tensor_names:  # how llama 3.1 stretches its context
            inverse = inverse / self._file.floats(ROTARY_FACTORS, shape.head_dim // 2)
        angles = np.outer(np.arange(shape.context), inverse)
        graph.constant("rope.cos", np.cos(angles).astype(np.float32))
        graph.constant("rope.sin", np.sin(angles).astype(np.float32))

    def _embedding(self) -> str:
        graph, shape = self._graph, self._shape
        quantized, scales = to_int8(self._file.floats(EMBEDDING, shape.vocabulary, shape.hidden))
        graph.constant("embedding.q", quantized.reshape(shape.vocabulary, shape.hidden))
        graph.constant("embedding.s", scales)
        graph.constant("embedding.z", np.full(scales.shape, ZERO_POINT, np.uint8))
        return graph.ms_node(
            "GatherBlockQuantized",
            ["embedding.q", "input_ids", "embedding.s", "embedding.z"],
            ["embedding.y"],
            gather_axis=0,
            quantize_axis=1,
            block_size=BLOCK,
            bits=8,
        )

    def _layer(self, layer: int, x: str, residual: str) -> tuple[str, str]:
        graph, shape, name = self._graph, self._shape, f"blk.{layer}"
        qkv = graph.linear(x, f"{name}.qkv", self._qkv(name))
        caches = [f"past_key_values.{layer}.{part}" for part in ("key", "value")]
        attended = graph.ms_node(
            "GroupQueryAttention",
            [qkv, "", "", *caches, "seqlens_k", "total_len", "rope.cos", "rope.sin"],
            [f"{name}.attention", f"present.{layer}.key", f"present.{layer}.value"],
            num_heads=shape.heads,
            kv_num_heads=shape.kv_heads,
            do_rotary=1,
            rotary_interleaved=0,
            scale=shape.head_dim**-0.5,
        )
        weights = self._file.floats(f"{name}.attn_output.weight", shape.hidden, shape.query_size)
        out = graph.linear(attended, f"{name}.out", weights)
        x, residual = self._add_and_norm(out, residual, f"{name}.ffn_norm.weight")
        weights = self._file.floats(f"{name}.ffn_down.weight", shape.hidden, shape.feed_forward)
        down = graph.linear(self._gated(x, name), f"{name}.down", weights)
        is_last = layer == shape.layers - 1
        norm = LAST_NORM if is_last else f"blk.{layer + 1}.attn_norm.weight"
        return self._add_and_norm(down, residual, norm)

    def _qkv(self, name: str) -> Floats:
        shape, floats = self._shape, self._file.floats
        query = floats(f"{name}.attn_q.weight", shape.query_size, shape.hidden)
        key = floats(f"{name}.attn_k.weight", shape.kv_size, shape.hidden)
        value = floats(f"{name}.attn_v.weight", shape.kv_size, shape.hidden)
        rows = [_unpermuted(query, shape.heads), _unpermuted(key, shape.kv_heads), value]
        return np.concatenate(rows)

    def _gated(self, x: str, name: str) -> str:
        graph, size = self._graph, self._shape.feed_forward
        gate_up = [
            self._file.floats(f"{name}.ffn_{part}.weight", size, self._shape.hidden)
            for part in ("gate", "up")
        ]
        both = graph.linear(x, f"{name}.gate_up", np.concatenate(gate_up))
        halves = graph.constant("gate_up.sizes", np.array([size, size], np.int64))
        graph.node("Split", [both, halves], [f"{name}.gate", f"{name}.up"], axis=-1)
        # QuickGelu with alpha 1 is SiLU
        active = graph.ms_node("QuickGelu", [f"{name}.gate"], [f"{name}.active"], alpha=1.0)
        return graph.node("Mul", [active, f"{name}.up"], [f"{name}.gated"])

    def _head(self, x: str) -> None:
        graph, shape = self._graph, self._shape
        flat = graph.constant("flat.shape", np.array([-1, shape.hidden], np.int64))
        rows = graph.node("Reshape", [x, flat], ["flat.y"])
        wanted = graph.node("Gather", [rows, "logit_pos"], ["wanted.y"], axis=0)
        size = (shape.vocabulary, shape.hidden)
        if HEAD in self._file.tensor_names:
            logits = graph.linear(wanted, "head", self._file.floats(HEAD, *size))
        else:  # tied: the embedding is the head
            blocks = (shape.vocabulary, shape.hidden // BLOCK, BLOCK)
            data = graph.same_data("head.q", "embedding.q", blocks)
            logits = graph.matmul(wanted, "head", data, "embedding.s", size)
        graph.node("Identity", [logits], ["logits"])

    def _norm(self, x: str, name: str) -> str:
        weight = self._graph.constant(name, self._file.floats(name, self._shape.hidden))
        return self._graph.node(
            "SimplifiedLayerNormalization",
            [x, weight],
            [f"{name}.y"],
            axis=-1,
            epsilon=self._shape.epsilon,
            stash_type=1,
        )

    def _add_and_norm(self, x: str, residual: str, name: str) -> tuple[str, str]:
        weight = self._graph.constant(name, self._file.floats(name, self._shape.hidden))
        normed = self._graph.ms_node(
            "SkipSimplifiedLayerNormalization",
            [x, residual, weight],
            [f"{name}.y", "", "", f"{name}.sum"],
            epsilon=self._shape.epsilon,
        )
        return normed, f"{name}.sum"


def _unpermuted(weights: Floats, heads: int) -> Floats:
    # GGUF stores rotary pairs side by side; the operator wants the two halves of a head
    rows, columns = weights.shape
    pairs = weights.reshape(heads, rows // heads // 2, 2, columns)
    return pairs.swapaxes(1, 2).reshape(rows, columns)
