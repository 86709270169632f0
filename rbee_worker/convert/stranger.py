"""What a file says or holds that has no place in its architecture: named, so that it is refused.

Of an architecture's own keys, each is either read, or must have the one value that changes nothing,
or is known to change nothing; every other might, and so does a tensor that nobody asks for.
"""

from collections.abc import Iterator
from typing import Any

from rbee_worker.convert.architecture import Architecture
from rbee_worker.convert.gguf import GgufFile

READ = {
    "attention.head_count",
    "attention.head_count_kv",
    "attention.key_length",
    "attention.layer_norm_rms_epsilon",
    "block_count",
    "context_length",
    "embedding_length",
    "feed_forward_length",
    "rope.freq_base",
    "rope.scaling.factor",
    "rope.scaling.type",
}
READ_OF_LOCAL = {
    "attention.sliding_window",
    "attention.sliding_window_pattern",
    "rope.freq_base_swa",
}
NEUTRAL: dict[str, Any] = {
    "attention.causal": True,
    "attention.sliding_window": 0,
    "attn_logit_softcapping": 0,
    "expert_count": 0,
    "expert_used_count": 0,
    "final_logit_softcapping": 0,
    "logit_scale": 0,
    "rope.scale_linear": 1,
    "rope.scaling.attn_factor": 1,
}
IDLE = {
    "rope.scaling.finetuned",
    "rope.scaling.original_context_length",
    "tensor_data_layout",
    "vocab_size",
}
LINEAR, NONE = "linear", "none"
MODEL = "model"


def strangers(
    file: GgufFile, architecture: Architecture, tensors: set[str], *, head_dim: int
) -> Iterator[str]:
    """Yield what is strange, as the end of a sentence about the file.

    Args:
        file: the file.
        architecture: of the file.
        tensors: all names that have a place.
        head_dim: numbers of a head.
    """
    if file.text("general.type") not in ("", MODEL):
        yield f"it is no model but of the type `{file.text('general.type')}`"
    if file.value("split.count") not in (None, 0, 1):
        yield f"it is one of {file.value('split.count')} parts of a model"
    yield from _strange_keys(file, architecture, head_dim)
    yield from _strange_scaling(file)
    for name in sorted(file.tensor_names - tensors):
        yield f"its tensor `{name}` has no place in {architecture.name}"


def _strange_keys(file: GgufFile, architecture: Architecture, head_dim: int) -> Iterator[str]:
    prefix = f"{file.architecture}."
    read = READ if architecture.local_base is None else READ | READ_OF_LOCAL
    neutral = {
        **NEUTRAL,
        "attention.value_length": head_dim,
        "rope.dimension_count": head_dim,
    }
    for key in sorted(key for key in file.keys if key.startswith(prefix)):
        own, value = key.removeprefix(prefix), file.value(key)
        if own in read or own in IDLE:
            continue
        if own not in neutral:
            yield f"it says `{key}`, which has no place in {architecture.name}"
        elif value != neutral[own]:
            said = "a list" if isinstance(value, list) else value
            yield f"`{own}` is {said}, not {neutral[own]}"


def _strange_scaling(file: GgufFile) -> Iterator[str]:
    scaling = file.text(f"{file.architecture}.rope.scaling.type")
    factor = file.number("rope.scaling.factor", 1)
    if scaling not in ("", NONE, LINEAR):
        yield f"`rope.scaling.type` is `{scaling}`"
    elif scaling != LINEAR and factor not in (0, 1):
        yield f"`rope.scaling.factor` is {factor:g}, of no type"
    elif factor < 0:
        yield f"`rope.scaling.factor` is {factor:g}"
