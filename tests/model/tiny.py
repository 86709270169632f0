"""A llama with random weights that answers thousands of requests a second, and broken ones.

Its answers hang on every token of the prompt, so that one wrong row of a cache changes them. A
token is a byte but for "he", "ll" and "hell", so texts have nearly as many tokens as letters.
"""

from dataclasses import replace
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import onnx as untyped_onnx

from rbee_worker.convert.convert import convert
from rbee_worker.convert.forms import Precision
from tests.tiny_llama import TinyLlama, vocabulary

onnx: Any = untyped_onnx

CONTEXT = 512
FOCUS = 4.0  # of attention: it looks at a few places, and at others after each token
SHARPNESS = 2.0  # of the logits: a few tokens are likely
TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
PLAIN = TinyLlama(is_tied=False)


def tiny(plain: TinyLlama = PLAIN, *, context: int = CONTEXT) -> TinyLlama:
    """Return the model.

    Args:
        plain: its shape.
        context: tokens that it can hold.
    """
    random = np.random.default_rng(seed=11)
    sizes = {"output.weight": (len(vocabulary()), SHARPNESS)}
    queries = plain.heads * plain.head_dim
    sizes |= {f"blk.{at}.attn_q.weight": (queries, FOCUS) for at in range(plain.layers)}
    tensors = {
        name: random.normal(0, times * plain.hidden**-0.5, (rows, plain.hidden)).astype(np.float32)
        for name, (rows, times) in sizes.items()
    }
    metadata = {"llama.context_length": context, "tokenizer.chat_template": TEMPLATE}
    return replace(plain, metadata=metadata, tensors=tensors)


def write_tiny(
    folder: Path, model: TinyLlama | None = None, precision: Precision = Precision.INT8
) -> Path:
    """Write the model as GGUF and convert it, in some 50 ms; return the converted folder."""
    folder.mkdir(parents=True, exist_ok=True)
    source = (model or tiny()).write(folder / "tiny.gguf")
    convert(source, folder / "converted", precision)
    return folder / "converted"


def spoil_token(folder: Path, token: int) -> None:
    """Make the embedding of a token NaN in a converted model; the converter would refuse it."""
    graph: Any = onnx.load(folder / "model.onnx", load_external_data=False).graph
    embed: Any = next(node for node in graph.node if "input_ids" in node.input)
    (stored,) = (
        each
        for each in graph.initializer
        if each.name in embed.input and each.data_type == onnx.TensorProto.FLOAT
    )
    place = {entry.key: entry.value for entry in stored.external_data}
    columns = prod(int(size) for size in stored.dims[1:])
    with (folder / place["location"]).open("r+b") as data:
        data.seek(int(place["offset"]) + token * columns * 4)
        data.write(np.full(columns, np.nan, np.float32).tobytes())
