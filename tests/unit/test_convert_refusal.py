"""Models that this version would convert wrongly: refused by name, never guessed at."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rbee_shared.errors import UnimplementedError
from rbee_worker.convert.convert import convert
from rbee_worker.convert.gguf import GgufDamagedError
from tests.tiny_llama import TinyLlama

BIAS = np.zeros(64, np.float32)
FACTORS = np.ones(8, np.float32)


@pytest.mark.parametrize(
    ("tiny", "reason", "named"),
    [
        (TinyLlama(architecture="gemma2"), "ARCHITECTURE_UNSUPPORTED", "`gemma2`"),
        (TinyLlama(metadata={"tokenizer.ggml.pre": "viking"}), "TOKENIZER_UNSUPPORTED", "`viking`"),
        (TinyLlama(metadata={"tokenizer.ggml.pre": None}), "TOKENIZER_UNSUPPORTED", "``"),
        (TinyLlama(metadata={"tokenizer.ggml.model": "t5"}), "TOKENIZER_UNSUPPORTED", "`t5`"),
        (TinyLlama(hidden=48), "MODEL_SHAPE_UNSUPPORTED", "hidden is 48, no multiple of 32"),
        (TinyLlama(feed_forward=72), "MODEL_SHAPE_UNSUPPORTED", "feed_forward is 72"),
        (TinyLlama(head_dim=24), "MODEL_SHAPE_UNSUPPORTED", "heads have 24"),
        (TinyLlama(heads=5, kv_heads=2, head_dim=32), "MODEL_SHAPE_UNSUPPORTED", "5 heads"),
        (TinyLlama(tensors={"blk.0.attn_q.bias": BIAS}), "MODEL_SHAPE_UNSUPPORTED", "attn_q.bias"),
        (
            TinyLlama(tensors={"blk.1.ffn_down.weight": np.zeros((64, 64), np.float32)}),
            "MODEL_SHAPE_UNSUPPORTED",
            r"`blk.1.ffn_down.weight` of `tiny.gguf` has the shape \(64, 64\), not \(64, 96\)",
        ),
    ],
)
def test_what_is_not_known_is_refused_by_name(
    tiny: TinyLlama, reason: str, named: str, tmp_path: Path
) -> None:
    with pytest.raises(UnimplementedError, match=named) as caught:
        convert(tiny.write(tmp_path / "tiny.gguf"), tmp_path / "out")
    assert caught.value.reason == reason
    assert caught.value.hint
    assert not (tmp_path / "out" / "rbee.json").exists()


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("rope.scaling.type", "yarn"),
        ("rope.scaling.factor", 4.0),
        ("rope.scale_linear", 2.0),
        ("rope.dimension_count", 8),
        ("expert_count", 8),
        ("attention.sliding_window", 4096),
        ("attention.value_length", 32),
        ("attention.causal", False),
        ("context_length", 2**31),
        ("block_count", 2**31),
        ("rope.freq_base", 0.0),
        ("attn_logit_softcapping", 50.0),
        ("final_logit_softcapping", 30.0),
        ("logit_scale", 0.25),
        ("expert_shared_count", 1),
        ("pooling_type", 1),
        ("a_key_of_tomorrow", "yes"),
    ],
)
def test_what_changes_the_computation_is_refused_by_name(
    key: str, value: Any, tmp_path: Path
) -> None:
    source = TinyLlama(metadata={f"llama.{key}": value}).write(tmp_path / "tiny.gguf")
    with pytest.raises(UnimplementedError, match=r"`tiny\.gguf` cannot be converted") as caught:
        convert(source, tmp_path / "out")
    assert caught.value.reason == "MODEL_SHAPE_UNSUPPORTED"


@pytest.mark.parametrize(
    ("tiny", "named"),
    [
        (TinyLlama(architecture="qwen2", tensors={"rope_freqs.weight": FACTORS}), "`rope_freqs"),
        (TinyLlama(architecture="qwen2", tensors={"blk.0.attn_q_norm.weight": FACTORS}), "q_norm"),
        (TinyLlama(architecture="qwen3", tensors={"blk.0.attn_q.bias": BIAS}), "attn_q.bias"),
        (TinyLlama(architecture="qwen3", metadata={"qwen3.pooling_type": 3}), "pooling_type"),
        (TinyLlama(architecture="gemma3", tensors={"rope_freqs.weight": FACTORS}), "`rope_freqs"),
        (
            TinyLlama(architecture="gemma3", metadata={"gemma3.final_logit_softcapping": 30.0}),
            "softcapping` is 30.0, not 0",
        ),
        (
            TinyLlama(architecture="gemma3", metadata={"gemma3.rope.scaling.type": "yarn"}),
            "`yarn`",
        ),
        (TinyLlama(metadata={"general.type": "adapter"}), "type `adapter`"),
        (TinyLlama(metadata={"split.count": 3}), "one of 3 parts"),
        (TinyLlama(tensors={"blk.0.ffn_gate_inp.weight": FACTORS}), "ffn_gate_inp"),
    ],
)
def test_what_has_no_place_in_an_architecture_is_named(
    tiny: TinyLlama, named: str, tmp_path: Path
) -> None:
    with pytest.raises(UnimplementedError, match=named) as caught:
        convert(tiny.write(tmp_path / "tiny.gguf"), tmp_path / "out")
    assert caught.value.reason == "MODEL_SHAPE_UNSUPPORTED"
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("architecture", "missing"),
    [
        ("qwen2", "blk.1.attn_k.bias"),
        ("qwen3", "blk.0.attn_k_norm.weight"),
        ("gemma3", "blk.1.post_ffw_norm.weight"),
    ],
)
def test_a_tensor_that_an_architecture_needs_is_missed(
    architecture: str, missing: str, tmp_path: Path
) -> None:
    tiny = TinyLlama(architecture=architecture, without=(missing,))
    with pytest.raises(GgufDamagedError, match=rf"no tensor `{missing}`"):
        convert(tiny.write(tmp_path / "tiny.gguf"), tmp_path / "out")


@pytest.mark.parametrize("architecture", ["qwen2", "qwen3", "gemma3"])
def test_a_rotary_base_that_is_not_said_is_not_guessed(architecture: str, tmp_path: Path) -> None:
    tiny = TinyLlama(architecture=architecture, metadata={f"{architecture}.rope.freq_base": None})
    with pytest.raises(GgufDamagedError, match=r"does not say `\w+\.rope\.freq_base`"):
        convert(tiny.write(tmp_path / "tiny.gguf"), tmp_path / "out")


@pytest.mark.parametrize(
    "metadata",
    [
        {"llama.rope.scaling.type": "none"},
        {"llama.rope.scaling.type": "linear", "llama.rope.scaling.factor": 1.0},
        {"llama.rope.scaling.type": "linear", "llama.rope.scaling.factor": 4.0},
        {"llama.rope.scaling.attn_factor": 1.0, "llama.vocab_size": 262},
        {"llama.expert_count": 0, "llama.attention.causal": True},
        {"general.type": "model", "split.count": 1},
    ],
)
def test_what_is_known_is_no_hindrance(metadata: dict[str, Any], tmp_path: Path) -> None:
    source = TinyLlama(layers=1, metadata=metadata).write(tmp_path / "tiny.gguf")
    assert convert(source, tmp_path / "out").layers == 1


def test_a_description_without_a_name_takes_the_file_s(tmp_path: Path) -> None:
    source = TinyLlama(layers=1, metadata={"general.name": None}).write(tmp_path / "bee.gguf")
    assert convert(source, tmp_path / "out").name == "bee"
