"""The KV cache of 8-bit integers: the same logits by whatever way, near those of a float cache."""

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as untyped_ort
import pytest
import tokenizers as untyped_tokenizers
from numpy.typing import NDArray

from rbee_worker.convert.calibrate import CalibrationError, NotFiniteError, cache_scales
from rbee_worker.convert.convert import convert
from rbee_worker.convert.forms import Precision
from rbee_worker.convert.gguf import GgufFile
from rbee_worker.convert.shape import shape_of
from rbee_worker.description import ModelDescription
from tests.model.converted import agreement, divergence, logits_of, with_float_cache
from tests.model.numpy_decoder import NumpyDecoder
from tests.model.prose import PROSE
from tests.tiny_llama import TinyLlama, vocabulary

ort: Any = untyped_ort
tokenizers: Any = untyped_tokenizers

pytestmark = [pytest.mark.model, pytest.mark.timeout(300)]

TOKENS = [int(each) for each in np.random.default_rng(3).integers(0, len(vocabulary()), 60)]
KINDS = {"tensor(float)": np.float32, "tensor(int8)": np.int8}
DIVERGENCE_MAX = 0.012  # nats; a float cache read in another order gives 0.004
FAR = 2_048  # tokens: four times as many as were measured
SATURATED_MAX = 3e-4  # scales of single numbers, not of rotary pairs, give 5e-3


def run(folder: Path, tokens: list[int], *, logits_at: list[int]) -> dict[str, NDArray[Any]]:
    """Compute all tokens at once and return every output of the graph by its name."""
    found = ModelDescription.read(folder)
    session: Any = ort.InferenceSession(
        str(folder / "model.onnx"), providers=["CPUExecutionProvider"]
    )
    size = (1, found.kv_heads, len(tokens), found.head_dim)
    inputs: dict[str, NDArray[Any]] = {
        "input_ids": np.array([tokens], np.int64),
        "seqlens_k": np.array([len(tokens) - 1], np.int32),
        "total_len": np.array(len(tokens), np.int32),
        "logit_pos": np.array(logits_at, np.int64),
    }
    for each in session.get_inputs():
        if each.name.startswith("past_key_values."):
            inputs[each.name] = np.zeros(size, KINDS[each.type])
    names = [each.name for each in session.get_outputs()]
    return dict(zip(names, session.run(names, inputs), strict=True))


@pytest.fixture(scope="module")
def prose(onnx_model: Path) -> list[int]:
    return tokenizers.Tokenizer.from_file(str(onnx_model / "tokenizer.json")).encode(PROSE).ids


@pytest.mark.parametrize(
    "runs",
    [(1,) * 40, (100, *([1] * 40)), (64, 1, 63, 5, 5), (17, 128)],
    ids=["word by word", "a prompt, then words", "pieces and drafts", "pieces"],
)
def test_logits_are_the_same_to_the_bit_however_a_text_is_cut(
    runs: tuple[int, ...], onnx_model: Path, prose: list[int]
) -> None:
    whole = logits_of(onnx_model, prose[:180])
    np.testing.assert_array_equal(logits_of(onnx_model, prose[:180], runs=runs), whole)


def test_a_cache_of_integers_says_what_a_float_cache_says(
    onnx_model: Path, prose: list[int]
) -> None:
    expected = logits_of(onnx_model, prose, file=with_float_cache(onnx_model))
    found = logits_of(onnx_model, prose)
    assert divergence(expected, found) < DIVERGENCE_MAX
    assert agreement(expected, found) > 0.93


def test_keys_far_beyond_what_was_measured_still_fit(onnx_model: Path, prose: list[int]) -> None:
    tokens = (prose * (FAR // len(prose) + 1))[:FAR]
    found = run(onnx_model, tokens, logits_at=[])
    far = [cache[:, :, FAR // 2 :] for name, cache in found.items() if name.endswith(".key")]
    assert np.mean([(np.abs(cache.astype(int)) >= 127).mean() for cache in far]) < SATURATED_MAX


@pytest.mark.parametrize(
    ("precision", "size"), [(Precision.INT8, 1), (Precision.EXACT, 1), (Precision.F32, 4)]
)
def test_the_description_says_what_a_number_in_the_cache_takes(
    precision: Precision, size: int, tmp_path: Path
) -> None:
    convert(TinyLlama().write(tmp_path / "tiny.gguf"), tmp_path / "out", precision)
    assert ModelDescription.read(tmp_path / "out").kv_value_bytes == size
    found = run(tmp_path / "out", TOKENS, logits_at=[0])
    caches = {each.dtype.itemsize for name, each in found.items() if name.startswith("present.")}
    assert caches == {size}


@pytest.mark.parametrize("precision", Precision)
def test_a_run_may_want_no_logits(precision: Precision, tmp_path: Path) -> None:
    convert(TinyLlama(kind="Q4_1").write(tmp_path / "tiny.gguf"), tmp_path / "out", precision)
    found = run(tmp_path / "out", TOKENS, logits_at=[])
    assert found["logits"].shape == (0, len(vocabulary()))
    wanted = run(tmp_path / "out", TOKENS, logits_at=[59])
    for name in found.keys() - {"logits"}:
        np.testing.assert_array_equal(found[name], wanted[name])


@pytest.mark.parametrize("architecture", ["llama", "gemma3"])
def test_what_the_head_reads_is_an_output(architecture: str, tmp_path: Path) -> None:
    tiny = TinyLlama(architecture=architecture, is_tied=False)
    source = tiny.write(tmp_path / "tiny.gguf")
    convert(source, tmp_path / "out", Precision.F32)
    (found,) = run(tmp_path / "out", TOKENS, logits_at=[])["hidden_states"]
    np.testing.assert_allclose(found, NumpyDecoder(source).hidden(TOKENS), atol=2e-4)


def test_values_that_are_always_zero_are_kept_as_such(tmp_path: Path) -> None:
    silent = {"blk.0.attn_v.weight": np.zeros((32, 64), np.float32)}
    source = TinyLlama(tensors=silent).write(tmp_path / "tiny.gguf")
    convert(source, tmp_path / "out")
    assert divergence(NumpyDecoder(source).logits(TOKENS), logits_of(tmp_path / "out", TOKENS)) < (
        DIVERGENCE_MAX
    )


def test_a_model_that_computes_no_numbers_is_refused(tmp_path: Path) -> None:
    loud = {
        "blk.0.attn_norm.weight": np.full(64, 1e10, np.float32),
        "blk.0.attn_k.weight": np.full((32, 64), 1e34, np.float32),
    }
    source = TinyLlama(tensors=loud).write(tmp_path / "tiny.gguf")
    with pytest.raises(NotFiniteError, match=r"`past_key_values\.0\.key`"):
        convert(source, tmp_path / "out")
    assert not (tmp_path / "out" / "rbee.json").exists()


def test_a_graph_that_cannot_be_run_is_a_known_error(tmp_path: Path) -> None:
    shape = shape_of(GgufFile(TinyLlama().write(tmp_path / "tiny.gguf")))
    with pytest.raises(CalibrationError, match="cannot be run") as caught:
        cache_scales(tmp_path, b"no graph", shape, TOKENS, name="Tiny")
    assert "#f32" in caught.value.hint
