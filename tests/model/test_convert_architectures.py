"""Every architecture and every form of weights, with random weights, against numpy in float32."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from rbee_worker.convert.convert import convert
from rbee_worker.convert.forms import Precision
from tests.model.converted import divergence, logits_of, with_float_activations
from tests.model.numpy_decoder import NumpyDecoder
from tests.tiny_llama import TinyLlama, vocabulary

pytestmark = [pytest.mark.model, pytest.mark.timeout(300)]

LENGTH = 60
TOKENS = [int(each) for each in np.random.default_rng(3).integers(0, len(vocabulary()), LENGTH)]
RUNS = [(), (23, 30), (LENGTH - 12, *([1] * 11))]  # at once; in pieces; then word by word
FLOAT_ERROR = 2e-4  # of logits that are about 1, sums of floats in another order
ROUNDING = 4e-3  # nats: what 8-bit activations and caches move with random weights; 0.003 at most


GEMMA = TinyLlama(architecture="gemma3", layers=7, kv_heads=1, head_dim=32)
TINIES = {
    "llama": TinyLlama(),
    "llama, untied, no groups": TinyLlama(is_tied=False, kv_heads=4),
    "llama, wide heads": TinyLlama(
        head_dim=32, layers=1, metadata={"llama.rope.freq_base": 500_000.0}
    ),
    "llama, stretched": TinyLlama(
        tensors={"rope_freqs.weight": np.linspace(1, 8, 8, dtype=np.float32)}
    ),
    "llama, scaled": TinyLlama(
        metadata={"llama.rope.scaling.type": "linear", "llama.rope.scaling.factor": 4.0}
    ),
    "qwen2": TinyLlama(architecture="qwen2"),
    "qwen2, untied, no groups": TinyLlama(architecture="qwen2", is_tied=False, kv_heads=4),
    "qwen3": TinyLlama(architecture="qwen3", head_dim=32, heads=6, kv_heads=3),
    "gemma3": GEMMA,
    "gemma3, scaled where it sees all": replace(
        GEMMA,
        metadata={"gemma3.rope.scaling.type": "linear", "gemma3.rope.scaling.factor": 8.0},
    ),
    "gemma3, every second layer sees all": replace(
        GEMMA, metadata={"gemma3.attention.sliding_window_pattern": 2}
    ),
    "gemma3, a window of one": replace(GEMMA, metadata={"gemma3.attention.sliding_window": 1}),
}
WIDE_GEMMA = replace(GEMMA, layers=62)  # as many as the one of 27B has, which scales otherwise
KINDS = {
    "Q4_1": TinyLlama(kind="Q4_1"),
    "Q4_0": TinyLlama(kind="Q4_0"),
    "Q8_0": TinyLlama(kind="Q8_0"),
    "Q4_1, untied": TinyLlama(kind="Q4_1", is_tied=False),
    "Q4_1, tied Q8_0": TinyLlama(kind="Q4_1", kinds={"token_embd.weight": "Q8_0"}),
    "mixed": TinyLlama(
        kind="Q4_1", kinds={"attn_v.weight": "Q8_0", "ffn_up.weight": "Q4_0", "embd.weight": "Q4_0"}
    ),
    "Q4_1, gemma3": replace(GEMMA, kind="Q4_1"),
    "Q4_1, qwen2": TinyLlama(architecture="qwen2", kind="Q4_1", kinds={"attn_k.weight": "Q8_0"}),
}


@pytest.mark.parametrize("tiny", [*TINIES.values(), WIDE_GEMMA], ids=[*TINIES, "gemma3 27B"])
def test_float_weights_compute_what_they_should(tiny: TinyLlama, tmp_path: Path) -> None:
    source = tiny.write(tmp_path / "tiny.gguf")
    assert convert(source, tmp_path / "out", Precision.F32).quantization == "float32"
    expected = NumpyDecoder(source).logits(TOKENS)
    for runs in RUNS:
        found = logits_of(tmp_path / "out", TOKENS, runs=runs)
        assert np.abs(found - expected).max() < FLOAT_ERROR


@pytest.mark.parametrize("tiny", TINIES.values(), ids=TINIES)
def test_int8_weights_compute_nearly_what_they_should(tiny: TinyLlama, tmp_path: Path) -> None:
    source = tiny.write(tmp_path / "tiny.gguf")
    assert convert(source, tmp_path / "out").quantization == "int8-block32"
    expected = NumpyDecoder(source).logits(TOKENS)
    at_once, *others = (logits_of(tmp_path / "out", TOKENS, runs=runs) for runs in RUNS)
    assert divergence(expected, at_once) < ROUNDING
    for found in others:
        np.testing.assert_array_equal(found, at_once)


@pytest.mark.parametrize("tiny", KINDS.values(), ids=KINDS)
def test_exact_weights_are_the_very_numbers_of_the_file(tiny: TinyLlama, tmp_path: Path) -> None:
    source = tiny.write(tmp_path / "tiny.gguf")
    assert convert(source, tmp_path / "out", Precision.EXACT).quantization == "exact"
    expected = NumpyDecoder(source).logits(TOKENS)
    only_weights = with_float_activations(tmp_path / "out")
    for runs in RUNS:
        found = logits_of(tmp_path / "out", TOKENS, runs=runs, file=only_weights)
        assert np.abs(found - expected).max() < FLOAT_ERROR
        assert divergence(expected, logits_of(tmp_path / "out", TOKENS, runs=runs)) < ROUNDING


@pytest.mark.parametrize("kind", ["Q5_0", "F16", "BF16"])
def test_what_has_no_exact_form_is_int8_and_said_so(kind: str, tmp_path: Path) -> None:
    tiny = TinyLlama(kind="Q4_1", kinds={"ffn_down.weight": kind, "attn_k.weight": kind})
    source = tiny.write(tmp_path / "tiny.gguf")
    assert convert(source, tmp_path / "out", Precision.EXACT).quantization == "exact+int8"
    expected = NumpyDecoder(source).logits(TOKENS)
    assert divergence(expected, logits_of(tmp_path / "out", TOKENS)) < ROUNDING


@pytest.mark.parametrize("precision", [Precision.INT8, Precision.EXACT])
def test_8_bit_blocks_are_taken_over_in_either_form(precision: Precision, tmp_path: Path) -> None:
    source = TinyLlama(kind="Q8_0").write(tmp_path / "tiny.gguf")
    convert(source, tmp_path / "out", precision)
    only_weights = with_float_activations(tmp_path / "out")
    found = logits_of(tmp_path / "out", TOKENS, file=only_weights)
    assert np.abs(found - NumpyDecoder(source).logits(TOKENS)).max() < FLOAT_ERROR


@pytest.mark.parametrize("precision", Precision)
@pytest.mark.parametrize("kind", ["F32", "Q4_1"])
def test_a_tied_matrix_is_stored_once(precision: Precision, kind: str, tmp_path: Path) -> None:
    # without layers' weights to speak of, a second copy would double the file
    tiny = TinyLlama(hidden=512, feed_forward=32, heads=2, layers=1, kind=kind)
    sizes: list[int] = []
    for is_tied in (True, False):
        source = replace(tiny, is_tied=is_tied).write(tmp_path / "tiny.gguf")
        convert(source, tmp_path / f"{is_tied}", precision)
        sizes.append((tmp_path / f"{is_tied}" / "model.onnx.data").stat().st_size)
    weights = len(vocabulary()) * 512
    bits = {Precision.F32: 32, Precision.INT8: 9, Precision.EXACT: 6 if kind == "Q4_1" else 9}
    assert sizes[1] - sizes[0] == pytest.approx(weights * bits[precision] / 8, rel=0.01)
