"""A real model in every form of weights, against its float weights, over a page of prose."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tokenizers as untyped_tokenizers
from numpy.typing import NDArray

from rbee_worker.convert.convert import convert
from rbee_worker.convert.forms import Precision
from tests.model.converted import agreement, divergence, logits_of, with_float_activations
from tests.model.numpy_decoder import NumpyDecoder
from tests.model.prose import PROSE

tokenizers: Any = untyped_tokenizers

pytestmark = [pytest.mark.model, pytest.mark.timeout(300)]

Floats = NDArray[np.float32]
POSITIONS_MIN = 300
DIVERGENCE_MAX = 0.02  # nats; a quantisation of 4 bits to 4 bits gives ten times as much
AGREEMENT_MIN = 0.95
NEAR_TIE = 0.7  # logits: where another token is chosen, the float weights nearly did
FLOAT_ERROR = 2e-3  # of logits up to 30, through thirty layers


@pytest.fixture(scope="module")
def tokens(onnx_model: Path) -> list[int]:
    found = tokenizers.Tokenizer.from_file(str(onnx_model / "tokenizer.json")).encode(PROSE).ids
    assert len(found) >= POSITIONS_MIN
    return found


@pytest.fixture(scope="module")
def expected(gguf: Path, tokens: list[int]) -> Floats:
    return NumpyDecoder(gguf).logits(tokens)


def check_near(expected: Floats, found: Floats) -> None:
    assert divergence(expected, found) < DIVERGENCE_MAX
    assert agreement(expected, found) >= AGREEMENT_MIN
    chosen = np.take_along_axis(expected, found.argmax(axis=-1, keepdims=True), axis=-1)
    assert (expected.max(axis=-1, keepdims=True) - chosen).max() < NEAR_TIE


def test_int8_weights_say_what_float_weights_say(
    onnx_model: Path, tokens: list[int], expected: Floats
) -> None:
    check_near(expected, logits_of(onnx_model, tokens))


def test_exact_weights_say_what_float_weights_say_and_are_the_same_numbers(
    gguf: Path, tokens: list[int], expected: Floats, tmp_path: Path
) -> None:
    assert convert(gguf, tmp_path / "out", Precision.EXACT).quantization == "exact"
    check_near(expected, logits_of(tmp_path / "out", tokens))
    only_weights = with_float_activations(tmp_path / "out")
    found = logits_of(tmp_path / "out", tokens, file=only_weights)
    assert np.abs(found - expected).max() < FLOAT_ERROR


def test_float_weights_stay_what_they_are(
    gguf: Path, tokens: list[int], expected: Floats, tmp_path: Path
) -> None:
    convert(gguf, tmp_path / "out", Precision.F32)
    assert np.abs(logits_of(tmp_path / "out", tokens) - expected).max() < FLOAT_ERROR
