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
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rbee_shared.errors import UnimplementedError
from rbee_worker.convert.gguf import GgufFile
from rbee_worker.convert.graph import FLOAT, INT32, INT64, Graph
from rbee_worker.convert.quantize import BLOCK, ZERO_POINT, to_int8

Floats = NDArray[np.float32]
Told = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Shape:
    """The sizes of one model."""

    layers: int
    hidden: int
    feed_forward: int
    heads: int
    kv_heads: int
    head_dim: int
    vocabulary: int
    context: int
    epsilon: float
    rope_base: float

    @classmethod
    def of(cls, file: GgufFile) -> "Shape":
        """Read the sizes from a file's metadata.

        Raises:
            GgufDamagedError: one is missing.
            UnimplementedError: one does not fit the quantisation.
        """
        hidden, heads = file.count("embedding_length"), file.count("attention.head_count")
        shape = cls(
            layers=file.count("block_count"),
            hidden=hidden,
            feed_forward=file.count("feed_forward_length"),
            heads=heads,
            kv_heads=file.count("attention.head_count_kv", heads),
            head_dim=file.count("attention.key_length", hidden // heads),
            vocabulary=file.floats("token_embd.weight").shape[0],
            context=file.count("context_length"),
            epsilon=file.number("attention.layer_norm_rms_epsilon"),
            rope_base=file.number("rope.freq_base", 10_000.0),
        )
        for name in ("hidden", "feed_forward"):
            if getattr(shape, name) % BLOCK:
                raise UnimplementedError(
                    f"the {name} size {getattr(shape, name)} is no multiple of {BLOCK}",
                    reason="MODEL_SHAPE_UNSUPPORTED",
                )
        return shape


class Llama:
    """One conversion: a file's weights into a graph in `folder`."""

    def __init__(self, file: GgufFile, folder: Path) -> None:
        self.shape = Shape.of(file)
        self._file = file
        self._graph = Graph(folder)

    def write(self, told: Told) -> None:
        """Write graph and data; `told` hears the layers done and the layers in all.

        Raises:
            GgufDamagedError: a tensor is missing.
            UnimplementedError: the model needs what this version cannot build.
        """
        try:
            self._declare()
            x = residual = self._embedding()
            x = self._norm(x, "blk.0.attn_norm.weight")
            for layer in range(self.shape.layers):
                told(layer, self.shape.layers)
                x, residual = self._layer(layer, x, residual)
            told(self.shape.layers, self.shape.layers)
            self._head(x)
            self._graph.save()
        finally:
            self._graph.close()

    def _declare(self) -> None:
        graph, shape = self._graph, self.shape
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
        rotary = self._file.count("rope.dimension_count", shape.head_dim)
        inverse = shape.rope_base ** -(np.arange(0, rotary, 2) / rotary)
        if "rope_freqs.weight" in self._file:  # how llama 3.1 stretches its context
            inverse = inverse / self._file.floats("rope_freqs.weight")
        angles = np.outer(np.arange(shape.context), inverse)
        graph.constant("rope.cos", np.cos(angles).astype(np.float32))
        graph.constant("rope.sin", np.sin(angles).astype(np.float32))

    def _embedding(self) -> str:
        graph, shape = self._graph, self.shape
        quantized, scales = to_int8(self._file.floats("token_embd.weight"))
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
        graph, shape, name = self._graph, self.shape, f"blk.{layer}"
        query = _unpermuted(self._weights(f"{name}.attn_q.weight"), shape.heads)
        key = _unpermuted(self._weights(f"{name}.attn_k.weight"), shape.kv_heads)
        value = self._weights(f"{name}.attn_v.weight")
        qkv = graph.linear(x, f"{name}.qkv", np.concatenate([query, key, value]))
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
        out = graph.linear(attended, f"{name}.out", self._weights(f"{name}.attn_output.weight"))
        x, residual = self._add_and_norm(out, residual, f"{name}.ffn_norm.weight")
        down = graph.linear(
            self._gated(x, name), f"{name}.down", self._weights(f"{name}.ffn_down.weight")
        )
        is_last = layer == shape.layers - 1
        norm = "output_norm.weight" if is_last else f"blk.{layer + 1}.attn_norm.weight"
        return self._add_and_norm(down, residual, norm)

    def _gated(self, x: str, name: str) -> str:
        graph, size = self._graph, self.shape.feed_forward
        gate_up = [self._weights(f"{name}.ffn_{part}.weight") for part in ("gate", "up")]
        both = graph.linear(x, f"{name}.gate_up", np.concatenate(gate_up))
        halves = graph.constant("gate_up.sizes", np.array([size, size], np.int64))
        graph.node("Split", [both, halves], [f"{name}.gate", f"{name}.up"], axis=-1)
        # QuickGelu with alpha 1 is SiLU
        active = graph.ms_node("QuickGelu", [f"{name}.gate"], [f"{name}.active"], alpha=1.0)
        return graph.node("Mul", [active, f"{name}.up"], [f"{name}.gated"])

    def _head(self, x: str) -> None:
        graph, shape = self._graph, self.shape
        flat = graph.constant("flat.shape", np.array([-1, shape.hidden], np.int64))
        rows = graph.node("Reshape", [x, flat], ["flat.y"])
        wanted = graph.node("Gather", [rows, "logit_pos"], ["wanted.y"], axis=0)
        size = (shape.vocabulary, shape.hidden)
        if "output.weight" in self._file:
            logits = graph.linear(wanted, "head", self._weights("output.weight"))
        else:  # tied: the embedding is the head
            blocks = (shape.vocabulary, shape.hidden // BLOCK, BLOCK)
            data = graph.same_data("head.q", "embedding.q", blocks)
            logits = graph.matmul(wanted, "head", data, "embedding.s", size)
        graph.node("Identity", [logits], ["logits"])

    def _norm(self, x: str, name: str) -> str:
        weight = self._graph.constant(name, self._file.floats(name))
        return self._graph.node(
            "SimplifiedLayerNormalization",
            [x, weight],
            [f"{name}.y"],
            axis=-1,
            epsilon=self.shape.epsilon,
            stash_type=1,
        )

    def _add_and_norm(self, x: str, residual: str, name: str) -> tuple[str, str]:
        weight = self._graph.constant(name, self._file.floats(name))
        normed = self._graph.ms_node(
            "SkipSimplifiedLayerNormalization",
            [x, residual, weight],
            [f"{name}.y", "", "", f"{name}.sum"],
            epsilon=self.shape.epsilon,
        )
        return normed, f"{name}.sum"

    def _weights(self, name: str) -> Floats:
        bias = name.removesuffix("weight") + "bias"
        if bias in self._file:
            raise UnimplementedError(
                f"the model has a bias `{bias}`, which cannot be converted yet",
                reason="MODEL_SHAPE_UNSUPPORTED",
            )
        return self._file.floats(name)


def _unpermuted(weights: Floats, heads: int) -> Floats:
    # GGUF stores rotary pairs side by side; the operator wants the two halves of a head
    rows, columns = weights.shape
    pairs = weights.reshape(heads, rows // heads // 2, 2, columns)
    return pairs.swapaxes(1, 2).reshape(rows, columns)
