"""The architecture and sizes of a model, from its file, and refusal of what cannot be built."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain

from rbee_shared.errors import UnimplementedError
from rbee_worker.convert.architecture import Architecture, architecture_of
from rbee_worker.convert.gguf import GgufFile
from rbee_worker.convert.quantize import BLOCK
from rbee_worker.convert.rotary import Rotary
from rbee_worker.convert.stranger import strangers

CONTEXT_MAX = 1_048_576  # positions; the rotary tables have a row for each
VOCABULARY_MAX = 1_000_000
HEAD_BLOCK = 16  # what GroupQueryAttention takes
LAYERS_MAX = 1_000
SIZE_MAX = 1_000_000  # of a layer's inputs and outputs
WINDOW_EVERY = 6  # of so many layers, the last sees everything
WIDE_QUERY_LAYERS = (
    62  # gemma 3 of 27B parameters scales its queries as if heads were hidden / heads
)

EMBEDDING = "token_embd.weight"
HEAD = "output.weight"
LAST_NORM = "output_norm.weight"
ROTARY_FACTORS = "rope_freqs.weight"


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """What one model is. A layer that is local sees `window` positions, the last its own."""

    architecture: Architecture
    layers: int
    hidden: int
    feed_forward: int
    heads: int
    kv_heads: int
    head_dim: int
    vocabulary: int
    context: int
    epsilon: float
    rotary: Rotary
    query_scale: float
    window: int = 0
    window_every: int = 0
    local_rotary: Rotary | None = None

    @property
    def query_size(self) -> int:
        """Numbers in all heads of one position."""
        return self.heads * self.head_dim

    @property
    def kv_size(self) -> int:
        """Numbers in all keys, or all values, of one position."""
        return self.kv_heads * self.head_dim

    def is_local(self, layer: int) -> bool:
        """Return whether a layer sees a window only."""
        return self.window > 0 and (layer + 1) % self.window_every != 0


def shape_of(file: GgufFile) -> Shape:
    """Read what the model of a file is.

    Raises:
        GgufDamagedError: one is missing or no number.
        UnimplementedError: the model is not of the kind that is built here.
    """
    architecture = architecture_of(file.architecture)
    shape = _read(file, architecture)
    known = {EMBEDDING, HEAD, LAST_NORM}
    known |= {ROTARY_FACTORS} if architecture.has_rotary_factors else set()
    for layer in range(min(shape.layers, LAYERS_MAX)):
        known |= {f"blk.{layer}.{tensor}" for tensor in architecture.layer_tensors()}
    for problem in chain(
        _misfits(shape), strangers(file, architecture, known, head_dim=shape.head_dim)
    ):
        raise UnimplementedError(
            f"`{file.name}` cannot be converted: {problem}", reason="MODEL_SHAPE_UNSUPPORTED"
        )
    return shape


def _read(file: GgufFile, architecture: Architecture) -> Shape:
    hidden, heads = file.count("embedding_length"), file.count("attention.head_count")
    head_dim = file.count("attention.key_length", max(1, hidden // heads))
    layers, is_local = file.count("block_count"), architecture.local_base is not None
    is_wide = is_local and layers == WIDE_QUERY_LAYERS
    local_base = file.number("rope.freq_base_swa", architecture.local_base) if is_local else 0
    return Shape(
        architecture=architecture,
        layers=layers,
        hidden=hidden,
        feed_forward=file.count("feed_forward_length"),
        heads=heads,
        kv_heads=file.count("attention.head_count_kv", heads),
        head_dim=head_dim,
        vocabulary=file.shape(EMBEDDING)[0],
        context=file.count("context_length"),
        epsilon=file.number("attention.layer_norm_rms_epsilon"),
        rotary=Rotary(
            base=file.number("rope.freq_base", architecture.base),
            factor=file.number("rope.scaling.factor", 1.0) or 1.0,
        ),
        query_scale=(hidden // heads if is_wide else head_dim) ** -0.5,
        window=file.count("attention.sliding_window") if is_local else 0,
        window_every=file.count("attention.sliding_window_pattern", WINDOW_EVERY)
        if is_local
        else 0,
        local_rotary=Rotary(local_base) if is_local else None,
    )


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
    if shape.rotary.base <= 0:
        yield f"its rotary base is {shape.rotary.base:g}"
    if shape.head_dim % HEAD_BLOCK:
        yield f"its heads have {shape.head_dim} numbers, no multiple of {HEAD_BLOCK}"
    if shape.heads % shape.kv_heads:
        yield f"it has {shape.heads} heads and {shape.kv_heads} for keys, which do not divide"
