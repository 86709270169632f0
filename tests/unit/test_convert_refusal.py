"""Models that this version would convert wrongly: refused by name, never guessed at."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rbee_shared.errors import UnimplementedError
from rbee_worker.convert.convert import convert
from tests.tiny_llama import TinyLlama

BIAS = np.zeros(64, np.float32)


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
    "metadata",
    [
        {"llama.rope.scaling.type": "none"},
        {"llama.rope.scaling.type": "linear", "llama.rope.scaling.factor": 1.0},
        {"llama.expert_count": 0, "llama.attention.causal": True},
    ],
)
def test_what_changes_nothing_is_no_hindrance(metadata: dict[str, Any], tmp_path: Path) -> None:
    source = TinyLlama(layers=1, metadata=metadata).write(tmp_path / "tiny.gguf")
    assert convert(source, tmp_path / "out").layers == 1


def test_a_description_without_a_name_takes_the_file_s(tmp_path: Path) -> None:
    source = TinyLlama(layers=1, metadata={"general.name": None}).write(tmp_path / "bee.gguf")
    assert convert(source, tmp_path / "out").name == "bee"
