"""Exports a llama GGUF as the folders that the hub has: what the worker's layouts are tested with.

It shares no code with the converter. Three forms: `GENAI` (onnxruntime-genai: grouped-query
attention that turns its own rotary pairs), `WEB` (transformers.js: the same operator, rotary
embedding by `position_ids`, `num_logits_to_keep`) and `CONCAT` (transformers.js as optimum exports
it: attention of plain operators, the past a tensor that grows).
"""

import json
import os
import shutil
from enum import Enum
from pathlib import Path
from typing import Any

import numpy as np
import onnx as untyped_onnx
from numpy.typing import NDArray

from tests.model.hub_settings import settings_of
from tests.model.hub_weights import BLOCK, Weights

onnx: Any = untyped_onnx
make: Any = onnx.helper

MICROSOFT = "com.microsoft"
INT32, INT64, FLOAT, FLOAT16, BOOL = 6, 7, 1, 10, 9  # of onnx.TensorProto


class Form(Enum):
    """A layout of the hub."""

    GENAI = "genai"
    WEB = "web"
    CONCAT = "concat"


class Exporter:
    """One graph over the weights."""

    def __init__(self, weights: Weights, form: Form, *, kv: str, accuracy: int) -> None:
        self._of, self._form, self._accuracy = weights, form, accuracy
        self._kv = FLOAT16 if kv == "float16" else FLOAT
        self._tables = kv if form is Form.GENAI else "float32"
        self._nodes: list[Any] = []
        self._constants: dict[str, Any] = {}
        self._used: dict[str, None] = {}

    def model(self, location: str) -> Any:
        """Return the model whose weights lie in the file `location` beside it."""
        inputs, outputs = self._declared()
        self._build()
        external = [self._external(name, location) for name in self._used]
        tensors = [*self._constants.values(), *external]
        graph = make.make_graph(self._nodes, "main", inputs, outputs, tensors)
        versions = [make.make_opsetid("", 21), make.make_opsetid(MICROSOFT, 1)]
        return make.make_model(graph, opset_imports=versions, ir_version=10)

    def _declared(self) -> tuple[list[Any], list[Any]]:
        of, value = self._of, make.make_tensor_value_info
        inputs = [value("input_ids", INT64, ["batch", "sequence"])]
        inputs.append(value("attention_mask", INT64, ["batch", "total"]))
        if self._form is not Form.GENAI:
            inputs.append(value("position_ids", INT64, ["batch", "sequence"]))
        if self._form is Form.WEB:
            inputs.append(value("num_logits_to_keep", INT64, []))
        outputs = [value("logits", self._kv, ["batch", "logits", of.vocabulary])]
        for layer in range(of.layers):
            for part in ("key", "value"):
                past = ["batch", of.kv_heads, "past", of.head_dim]
                inputs.append(value(f"past_key_values.{layer}.{part}", self._kv, past))
                present = ["batch", of.kv_heads, "total", of.head_dim]
                outputs.append(value(f"present.{layer}.{part}", self._kv, present))
        return inputs, outputs

    def _build(self) -> None:
        names = ["embedding.flat", "input_ids", "embedding.s", "embedding.z"]
        size: dict[str, Any] = {
            "gather_axis": 0,
            "quantize_axis": 1,
            "block_size": BLOCK,
            "bits": 8,
        }
        x = self._op("GatherBlockQuantized", [self._use(n) for n in names], MICROSOFT, **size)
        self._prepare()
        y = self._norm(x, "0.norm1")
        for layer in range(self._of.layers):
            query, key, value = (self._linear(y, f"{layer}.{part}") for part in "qkv")
            attend = self._concat if self._form is Form.CONCAT else self._grouped
            mixed = self._linear(attend(layer, query, key, value), f"{layer}.o")
            x, y = self._add_norm(x, mixed, f"{layer}.norm2")
            gate = self._linear(y, f"{layer}.gate")
            gate = self._op("Mul", [gate, self._op("Sigmoid", [gate])])
            y = self._op("Mul", [gate, self._linear(y, f"{layer}.up")])
            is_last = layer + 1 == self._of.layers
            following = "norm" if is_last else f"{layer + 1}.norm1"
            x, y = self._add_norm(x, self._linear(y, f"{layer}.down"), following)
        if self._form is Form.WEB:
            last = self._op("Reshape", ["num_logits_to_keep", self._ints(1)])
            begin = self._op("Sub", [self._ints(0), last])
            y = self._op("Slice", [y, begin, self._ints(2**62), self._ints(1)])
        logits = self._linear(y, "head")
        self._op("Cast", [logits], "", ["logits"], to=self._kv)

    def _prepare(self) -> None:
        total = self._op("Gather", [self._op("Shape", ["attention_mask"]), self._scalar(1)])
        if self._form is not Form.CONCAT:
            self._total = self._op("Cast", [total], to=INT32)
            held = self._op("ReduceSum", ["attention_mask", self._ints(1)], keepdims=0)
            self._lengths = self._op("Cast", [self._op("Sub", [held, self._scalar(1)])], to=INT32)
            return
        places = self._op("Range", [self._scalar(0), total, self._scalar(1)])
        rows = self._op("Unsqueeze", ["position_ids", self._ints(1, 3)])
        seen = self._op("LessOrEqual", [places, rows])
        kept = self._op("Unsqueeze", ["attention_mask", self._ints(1, 2)])
        seen = self._op("And", [seen, self._op("Cast", [kept], to=BOOL)])
        zero, never = (self._constant(np.array(each, np.float32)) for each in (0, -1e9))
        self._mask = self._op("Where", [seen, zero, never])
        self._turns = [
            self._op(
                "Unsqueeze",
                [
                    self._op("Gather", [self._use(f"{table}.float32"), "position_ids"]),
                    self._ints(1),
                ],
            )
            for table in ("cos", "sin")
        ]

    def _grouped(self, layer: int, query: str, key: str, value: str) -> str:
        of = self._of
        tables = [self._use(f"{table}.{self._tables}") for table in ("cos", "sin")]
        if self._form is Form.WEB:
            query, key = (
                self._op("RotaryEmbedding", [x, "position_ids", *tables], MICROSOFT, num_heads=n)
                for x, n in ((query, of.heads), (key, of.kv_heads))
            )
        states = [self._to(each, self._kv) for each in (query, key, value)]
        pasts = [f"past_key_values.{layer}.{part}" for part in ("key", "value")]
        inputs = [*states, *pasts, self._lengths, self._total]
        fused = self._form is Form.GENAI
        out = self._op(
            "GroupQueryAttention",
            [*inputs, *tables] if fused else inputs,
            MICROSOFT,
            [f"{layer}.y", *(f"present.{layer}.{part}" for part in ("key", "value"))],
            num_heads=of.heads,
            kv_num_heads=of.kv_heads,
            do_rotary=int(fused),
        )
        return self._to(out, FLOAT)

    def _concat(self, layer: int, query: str, key: str, value: str) -> str:
        of, name = self._of, str(layer)
        query = self._turned(self._split_heads(query, of.heads))
        key = self._turned(self._split_heads(key, of.kv_heads))
        value = self._split_heads(value, of.kv_heads)
        key, value = (
            self._repeated(self._grown(name, part, x))
            for part, x in (("key", key), ("value", value))
        )
        turned = self._op("Transpose", [key], perm=[0, 1, 3, 2])
        scale = self._constant(np.array(of.head_dim**-0.5, np.float32))
        scores = self._op("Mul", [self._op("MatMul", [query, turned]), scale])
        shares = self._op("Softmax", [self._op("Add", [scores, self._mask])], axis=-1)
        mixed = self._op("Transpose", [self._op("MatMul", [shares, value])], perm=[0, 2, 1, 3])
        return self._op("Reshape", [mixed, self._ints(0, 0, of.heads * of.head_dim)])

    def _split_heads(self, x: str, heads: int) -> str:
        shaped = self._op("Reshape", [x, self._ints(0, 0, heads, self._of.head_dim)])
        return self._op("Transpose", [shaped], perm=[0, 2, 1, 3])

    def _turned(self, x: str) -> str:
        cos, sin = self._turns
        first, second = f"{x}.first", f"{x}.second"
        self._op("Split", [x], "", [first, second], axis=-1, num_outputs=2)

        def mul(a: str, b: str) -> str:
            return self._op("Mul", [a, b])

        left = self._op("Sub", [mul(first, cos), mul(second, sin)])
        right = self._op("Add", [mul(second, cos), mul(first, sin)])
        return self._op("Concat", [left, right], axis=-1)

    def _grown(self, layer: str, part: str, x: str) -> str:
        past, present = f"past_key_values.{layer}.{part}", f"present.{layer}.{part}"
        self._op("Concat", [past, self._to(x, self._kv)], "", [present], axis=2)
        return self._to(present, FLOAT)

    def _repeated(self, x: str) -> str:
        of = self._of
        apart = self._op("Unsqueeze", [x, self._ints(2)])
        wide = self._op("Expand", [apart, self._ints(1, 1, of.heads // of.kv_heads, 1, 1)])
        return self._op("Reshape", [wide, self._ints(0, of.heads, -1, of.head_dim)])

    def _linear(self, x: str, name: str) -> str:
        rows, blocks, block = self._of.size(name)
        return self._op(
            "MatMulNBits",
            [x, self._use(f"{name}.q"), self._use(f"{name}.s")],
            MICROSOFT,
            N=rows,
            K=blocks * block,
            bits=8,
            block_size=BLOCK,
            accuracy_level=self._accuracy,
        )

    def _norm(self, x: str, name: str) -> str:
        epsilon = self._of.epsilon
        return self._op("SimplifiedLayerNormalization", [x, self._use(name)], epsilon=epsilon)

    def _add_norm(self, x: str, more: str, name: str) -> tuple[str, str]:
        if self._form is Form.CONCAT:
            x = self._op("Add", [x, more])
            return x, self._norm(x, name)
        outputs = [f"{name}.y", "", "", f"{name}.sum"]
        operator, epsilon = "SkipSimplifiedLayerNormalization", self._of.epsilon
        inputs = [x, more, self._use(name)]
        self._op(operator, inputs, MICROSOFT, outputs, epsilon=epsilon)
        return outputs[-1], outputs[0]

    def _to(self, x: str, kind: int) -> str:
        return x if self._kv == FLOAT else self._op("Cast", [x], to=kind)

    def _op(
        self,
        operator: str,
        inputs: list[str],
        domain: str = "",
        outputs: list[str] | None = None,
        **attributes: Any,
    ) -> str:
        outputs = outputs or [f"{operator}.{len(self._nodes)}"]
        self._nodes.append(make.make_node(operator, inputs, outputs, domain=domain, **attributes))
        return outputs[0]

    def _use(self, name: str) -> str:
        if name in self._of.stored:
            self._used[name] = None
        return name

    def _ints(self, *values: int) -> str:
        return self._constant(np.array(values, np.int64))

    def _scalar(self, value: int) -> str:
        return self._constant(np.array(value, np.int64))

    def _constant(self, values: NDArray[Any]) -> str:
        name = f"constant.{values.dtype}.{values.shape}.{values.tolist()}"
        self._constants[name] = onnx.numpy_helper.from_array(values, name)
        return name

    def _external(self, name: str, location: str) -> Any:
        kind, shape, offset, length = self._of.stored[name]
        tensor = onnx.TensorProto(name=name, data_type=kind, dims=list(shape))
        tensor.data_location = onnx.TensorProto.EXTERNAL
        for key, value in (("location", location), ("offset", offset), ("length", length)):
            tensor.external_data.add(key=key, value=str(value))
        return tensor


def export(
    weights: Weights,
    data: Path,
    tokenizer: Path,
    folder: Path,
    form: Form,
    *,
    kv: str = "float32",
    accuracy: int = 4,
) -> Path:
    """Write the folder of one form and return it; `data` is linked into it."""
    is_genai = form is Form.GENAI
    graph = folder / ("model.onnx" if is_genai else "onnx/model_quantized.onnx")
    graph.parent.mkdir(parents=True)
    beside = graph.with_name(graph.name + (".data" if is_genai else "_data"))
    os.link(data, beside)
    model = Exporter(weights, form, kv=kv, accuracy=accuracy).model(beside.name)
    graph.write_bytes(model.SerializeToString())
    shutil.copy(tokenizer, folder / "tokenizer.json")
    for name, values in settings_of(weights, is_genai=is_genai).items():
        (folder / name).write_text(json.dumps(values))
    return folder
