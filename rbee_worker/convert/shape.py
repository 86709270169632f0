"""The sizes of a llama model, from a file's metadata, and refusal by name of what is beyond them.

A model that is converted wrongly still talks, only badly. So whatever changes what llama computes
and is not built here ends the conversion.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain

from rbee_shared.errors import UnimplementedError
from rbee_worker.convert.gguf import GgufFile
from rbee_worker.convert.quantize import BLOCK

CONTEXT_MAX = 1_048_576  # positions; the rotary tables have a row for each
VOCABULARY_MAX = 1_000_000
HEAD_BLOCK = 16  # what GroupQueryAttention takes
LAYERS_MAX = 1_000
SIZE_MAX = 1_000_000  # of a layer's inputs and outputs

LAYER_TENSORS = (
    "attn_norm",
    "attn_q",
    "attn_k",
    "attn_v",
    "attn_output",
    "ffn_norm",
    "ffn_gate",
    "ffn_up",
    "ffn_down",
)
EMBEDDING = "token_embd.weight"
HEAD = "output.weight"
LAST_NORM = "output_norm.weight"
ROTARY_FACTORS = "rope_freqs.weight"


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

    @property
    def query_size(self) -> int:
        """Numbers in all heads of one position."""
        return self.heads * self.head_dim

    @property
    def kv_size(self) -> int:
        """Numbers in all keys, or all values, of one position."""
        return self.kv_heads * self.head_dim


def shape_of(file: GgufFile) -> Shape:
    """Read the sizes of a llama model.

    Raises:
        GgufDamagedError: one is missing or no number.
        UnimplementedError: the model is not of the kind that is built here.
    """
    hidden, heads = file.count("embedding_length"), file.count("attention.head_count")
    shape = Shape(
        layers=file.count("block_count"),
        hidden=hidden,
        feed_forward=file.count("feed_forward_length"),
        heads=heads,
        kv_heads=file.count("attention.head_count_kv", heads),
        head_dim=file.count("attention.key_length", max(1, hidden // heads)),
        vocabulary=file.shape(EMBEDDING)[0],
        context=file.count("context_length"),
        epsilon=file.number("attention.layer_norm_rms_epsilon"),
        rope_base=file.number("rope.freq_base", 10_000.0),
    )
    for problem in chain(_misfits(shape), _strangers(file, shape)):
        raise UnimplementedError(
            f"`{file.name}` cannot be converted: {problem}", reason="MODEL_SHAPE_UNSUPPORTED"
        )
    return shape


def _misfits(shape: Shape) -> Iterator[str]:
    bounds = {
        "layers": LAYERS_MAX,
        "hidden": SIZE_MAX,
        "feed_forward": SIZE_MAX,
        "query_size": SIZE_MAX,
        "vocabulary": VOCABULARY_MAX,
        "context": CONTEXT_MAX,
    }
    for name, bound in bounds.items():
        if not 1 <= getattr(shape, name) <= bound:
            yield f"its {name} is {getattr(shape, name)}, not 1 to {bound}"
    for name in ("hidden", "feed_forward", "query_size"):
        if getattr(shape, name) % BLOCK:
            yield f"its {name} is {getattr(shape, name)}, no multiple of {BLOCK}"
    if shape.head_dim % HEAD_BLOCK:
        yield f"its heads have {shape.head_dim} numbers, no multiple of {HEAD_BLOCK}"
    if shape.heads % shape.kv_heads:
        yield f"it has {shape.heads} heads and {shape.kv_heads} for keys, which do not divide"


def _strangers(file: GgufFile, shape: Shape) -> Iterator[str]:
    own = {
        "rope.dimension_count": shape.head_dim,
        "attention.value_length": shape.head_dim,
        "expert_count": 0,
        "attention.sliding_window": 0,
        "rope.scale_linear": 1,
    }
    for key, value in own.items():
        if file.number(key, value) != value:
            yield f"`{key}` is {file.number(key, value):g}, not {value}"
    if file.value(f"{file.architecture}.attention.causal") is False:
        yield "its attention looks ahead"
    scaling = file.text(f"{file.architecture}.rope.scaling.type")
    factor = file.number("rope.scaling.factor", 1)
    if scaling not in ("", "none") and (scaling != "linear" or factor not in (0, 1)):
        yield f"`rope.scaling.type` is `{scaling}`"
    elif scaling == "" and factor not in (0, 1):
        yield f"`rope.scaling.factor` is {factor:g}"
    known = {EMBEDDING, HEAD, LAST_NORM, ROTARY_FACTORS}
    known |= {f"blk.{n}.{part}.weight" for n in range(shape.layers) for part in LAYER_TENSORS}
    for name in sorted(file.tensor_names - known):
        yield f"its tensor `{name}` has no place in llama"
