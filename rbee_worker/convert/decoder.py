"""The decoder that all architectures share, as an ONNX graph for ONNX Runtime's fused operators.

Per layer: one product for query, key and value; grouped-query attention with rotary embedding and
the KV cache inside; one product for gate and up. Logits are computed only where they are asked for.

Inputs: `input_ids` int64 [B, S]; `seqlens_k` int32 [B], length of each row after this run, less 1;
`total_len` int32 [], the greatest length; `logit_pos` int64 [n], positions in [0, B*S) whose logits
are wanted; `past_key_values.N.{key,value}` float32 [B, kv_heads, max, head_dim].
Outputs: `logits` float32 [n, vocabulary]; `hidden_states` float32 [B, S, hidden], what the head
would read of every position; `present.N.{key,value}`, which may be the same buffers.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from rbee_worker.convert.architecture import HEAD_NORMS, QKV
from rbee_worker.convert.forms import Precision
from rbee_worker.convert.gguf import Floats, GgufFile
from rbee_worker.convert.graph import FLOAT, INT32, INT64, Graph
from rbee_worker.convert.matrices import Matrices, Matrix, Part
from rbee_worker.convert.products import ROWS_RANK, Products
from rbee_worker.convert.rotary import Rotary, table
from rbee_worker.convert.shape import EMBEDDING, HEAD, LAST_NORM, ROTARY_FACTORS, Shape

Told = Callable[[int, int], None]
TABLES = {"cos": np.cos, "sin": np.sin}
HIDDEN_STATES = "hidden_states"


class Decoder:
    """One conversion: a file's weights, of one architecture and shape, into a graph."""

    def __init__(self, file: GgufFile, shape: Shape, graph: Graph, precision: Precision) -> None:
        self._file, self._shape, self._graph = file, shape, graph
        self._architecture = shape.architecture
        self._matrices = Matrices(file, graph, precision)
        self._products = Products(graph, self._matrices)

    def build(self, told: Told) -> None:
        """Build the whole graph; `told` hears the layers done and the layers in all.

        Raises:
            GgufDamagedError: a tensor is missing, or holds what is no number.
            UnimplementedError: a tensor is of a form that is not known.
            FailedPreconditionError: the file cannot be read.
        """
        shape = self._shape
        self._declare()
        embedding = self._matrices.store(
            "embedding", [Part(EMBEDDING, shape.vocabulary)], shape.hidden
        )
        x = residual = self._embedded(embedding)
        x = self._norm(x, "blk.0.attn_norm", shape.hidden)
        for layer in range(shape.layers):
            told(layer, shape.layers)
            x, residual = self._layer(layer, x, residual)
        self._head(x, embedding)
        told(shape.layers, shape.layers)

    def _declare(self) -> None:
        graph, shape = self._graph, self._shape
        graph.input("input_ids", INT64, ["batch", "sequence"])
        graph.input("seqlens_k", INT32, ["batch"])
        graph.input("total_len", INT32, [])
        graph.input("logit_pos", INT64, ["logit_count"])
        graph.output("logits", FLOAT, ["logit_count", shape.vocabulary])
        graph.output(HIDDEN_STATES, FLOAT, ["batch", "sequence", shape.hidden])
        cache = ["batch", shape.kv_heads, "max_length", shape.head_dim]
        for layer in range(shape.layers):
            for part in ("key", "value"):
                graph.input(f"past_key_values.{layer}.{part}", FLOAT, cache)
                graph.output(f"present.{layer}.{part}", FLOAT, cache)
        self._store_tables("rope", shape.rotary)
        if shape.local_rotary:
            self._store_tables("rope.local", shape.local_rotary)

    def _store_tables(self, name: str, rotary: Rotary) -> None:
        shape, stretch = self._shape, None
        if ROTARY_FACTORS in self._file.tensor_names:  # how llama 3.1 stretches its context
            stretch = self._file.floats(ROTARY_FACTORS, shape.head_dim // 2)
        size = (shape.context, shape.head_dim // 2)
        for part, function in TABLES.items():
            values = table(
                rotary, shape.head_dim, shape.context, function=function, stretch=stretch
            )
            self._graph.stream(f"{name}.{part}", np.dtype(np.float32), size, values)

    def _embedded(self, embedding: Matrix) -> str:
        rows = self._products.rows("input_ids", embedding)
        if not self._architecture.has_scaled_embedding:
            return rows
        scale = self._graph.constant("embedding.scale", np.array(self._shape.hidden**0.5, "<f4"))
        return self._graph.node("Mul", [rows, scale], ["embedding.scaled"])

    def _layer(self, layer: int, x: str, residual: str) -> tuple[str, str]:
        shape, name = self._shape, f"blk.{layer}"
        has_post_norms = self._architecture.has_post_norms
        out = self._attention(layer, x, name)
        if has_post_norms:
            out = self._norm(out, f"{name}.post_attention_norm", shape.hidden)
        x, residual = self._add_and_norm(out, residual, f"{name}.ffn_norm.weight")
        down = self._feed_forward(x, name)
        if has_post_norms:
            down = self._norm(down, f"{name}.post_ffw_norm", shape.hidden)
        is_last = layer == shape.layers - 1
        norm = LAST_NORM if is_last else f"blk.{layer + 1}.attn_norm.weight"
        return self._add_and_norm(down, residual, norm)

    def _attention(self, layer: int, x: str, name: str) -> str:
        graph, shape = self._graph, self._shape
        is_local = shape.is_local(layer)
        tables = "rope.local" if is_local else "rope"
        window = {"local_window_size": shape.window} if is_local else {}
        caches = [f"past_key_values.{layer}.{part}" for part in ("key", "value")]
        attended = graph.ms_node(
            "GroupQueryAttention",
            [
                *self._qkv(x, name),
                *caches,
                "seqlens_k",
                "total_len",
                *(f"{tables}.{part}" for part in TABLES),
            ],
            [f"{name}.attention", f"present.{layer}.key", f"present.{layer}.value"],
            num_heads=shape.heads,
            kv_num_heads=shape.kv_heads,
            do_rotary=1,
            rotary_interleaved=0,
            scale=shape.query_scale,
            **window,
        )
        out = [Part(f"{name}.attn_output.weight", shape.hidden)]
        return self._products.linear(attended, f"{name}.out", out, shape.query_size)

    def _qkv(self, x: str, name: str) -> tuple[str, str, str]:
        graph, shape = self._graph, self._shape
        sizes = (shape.query_size, shape.kv_size, shape.kv_size)
        is_paired = self._architecture.has_rotary_pairs
        pairs = (shape.heads, shape.kv_heads, 0) if is_paired else (0, 0, 0)
        parts = [
            Part(f"{name}.{part}.weight", size, heads)
            for part, size, heads in zip(QKV, sizes, pairs, strict=True)
        ]
        qkv = self._products.linear(x, f"{name}.qkv", parts, shape.hidden)
        if self._architecture.has_qkv_bias:
            biases = [
                self._file.floats(f"{name}.{part}.bias", size)
                for part, size in zip(QKV, sizes, strict=True)
            ]
            bias = graph.constant(f"{name}.qkv.bias", np.concatenate(biases))
            qkv = graph.node("Add", [qkv, bias], [f"{name}.qkv.biased"])
        if not self._architecture.has_head_norms:
            return qkv, "", ""  # the operator takes them apart itself
        split = graph.constant("qkv.sizes", _integers(*sizes))
        query, key, value = (f"{name}.{part}.y" for part in QKV)
        graph.node("Split", [qkv, split], [query, key, value], axis=-1)
        query, key = (
            self._heads_normed(each, f"{name}.{norm}")
            for each, norm in zip((query, key), HEAD_NORMS, strict=True)
        )
        return query, key, value

    def _heads_normed(self, x: str, name: str) -> str:
        graph, size = self._graph, self._shape.head_dim
        apart = graph.constant("heads.shape", _integers(0, 0, -1, size))
        heads = graph.node("Reshape", [x, apart], [f"{name}.heads"])
        together = graph.constant("together.shape", _integers(0, 0, -1))
        return graph.node(
            "Reshape", [self._norm(heads, name, size), together], [f"{name}.together"]
        )

    def _feed_forward(self, x: str, name: str) -> str:
        graph, shape = self._graph, self._shape
        size = shape.feed_forward
        parts = [Part(f"{name}.ffn_{part}.weight", size) for part in ("gate", "up")]
        both = self._products.linear(x, f"{name}.gate_up", parts, shape.hidden)
        halves = graph.constant("gate_up.sizes", _integers(size, size))
        gate, up = f"{name}.gate", f"{name}.up"
        graph.node("Split", [both, halves], [gate, up], axis=-1)
        if self._architecture.activation == "gelu":
            active = graph.node("Gelu", [gate], [f"{name}.active"], approximate="tanh")
        else:  # QuickGelu with alpha 1 is SiLU
            active = graph.ms_node("QuickGelu", [gate], [f"{name}.active"], alpha=1.0)
        gated = graph.node("Mul", [active, up], [f"{name}.gated"])
        down = [Part(f"{name}.ffn_down.weight", shape.hidden)]
        return self._products.linear(gated, f"{name}.down", down, size)

    def _head(self, x: str, embedding: Matrix) -> None:
        graph, shape, products = self._graph, self._shape, self._products
        flat = graph.constant("flat.shape", _integers(-1, shape.hidden))
        rows = graph.node("Reshape", [x, flat], ["flat.y"])
        wanted = graph.node("Gather", [rows, "logit_pos"], ["wanted.y"], axis=0)
        if HEAD in self._file.tensor_names:
            parts = [Part(HEAD, shape.vocabulary)]
            logits = products.linear(wanted, "head", parts, shape.hidden, rank=ROWS_RANK)
        else:  # tied: the embedding is the head
            logits = products.by(wanted, embedding, "head", rank=ROWS_RANK)
        graph.node("Identity", [logits], ["logits"])

    def _norm(self, x: str, name: str, size: int) -> str:
        return self._graph.node(
            "SimplifiedLayerNormalization",
            [x, self._norm_weight(f"{name}.weight", size)],
            [f"{name}.y"],
            axis=-1,
            epsilon=self._shape.epsilon,
            stash_type=1,
        )

    def _add_and_norm(self, x: str, residual: str, name: str) -> tuple[str, str]:
        result = HIDDEN_STATES if name == LAST_NORM else f"{name}.y"
        normed = self._graph.ms_node(
            "SkipSimplifiedLayerNormalization",
            [x, residual, self._norm_weight(name, self._shape.hidden)],
            [result, "", "", f"{name}.sum"],
            epsilon=self._shape.epsilon,
        )
        return normed, f"{name}.sum"

    def _norm_weight(self, name: str, size: int) -> str:
        values: Floats = self._file.floats(name, size)
        return self._graph.constant(name, values)


def _integers(*values: int) -> NDArray[np.int64]:
    return np.array(values, np.int64)
