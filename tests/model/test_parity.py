"""Converted models against llama.cpp on the same file: token after token, the same expectations.

Both read the same tokens, so that one difference does not bring others. What llama.cpp computes is
rounded too: it holds keys and values as half floats and activations as 8-bit blocks.
"""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tokenizers as untyped_tokenizers
from numpy.typing import NDArray

from rbee_worker.convert.convert import convert
from rbee_worker.convert.forms import Precision
from tests.llama_cpp import llama_cpp, needs_llama_cpp
from tests.model.converted import Floats, log_softmax, logits_of
from tests.model.test_convert_architectures import TINIES
from tests.model.test_convert_quality import PROSE
from tests.tiny_llama import TinyLlama, vocabulary

tokenizers: Any = untyped_tokenizers

pytestmark = [pytest.mark.model, pytest.mark.timeout(300), needs_llama_cpp]

LIKELIEST = 2_000  # of 49,152: nearly all that is probable; the rest counts as one
REST_MAX = 0.02  # of the probability, on the average
DIVERGENCE_MAX = 0.02  # nats
AGREEMENT_MIN = 0.95
TINY_DIVERGENCE_MAX = 2e-3  # nats: what rounded activations move with random weights
FLOAT_DIVERGENCE_MAX = 2e-5  # nats: what half floats of keys and values move
TINY_LENGTH = 60
LEAST = 1e-9

Expected = tuple[NDArray[np.int64], NDArray[np.float64]]  # tokens and logarithms, likeliest first


def expected_of(gguf: Path, tokens: list[int], count: int) -> Expected:
    """Return what llama.cpp expects after each of the tokens."""
    with llama_cpp(gguf, context=len(tokens) + 2) as reference:
        places = [reference.likeliest(tokens[: at + 1], count) for at in range(len(tokens))]
    ids = [[token for token, _ in place] for place in places]
    return np.array(ids), np.array([[logprob for _, logprob in place] for place in places])


def agreement(expected: Expected, found: Floats) -> float:
    return float((expected[0][:, 0] == found.argmax(axis=-1)).mean())


def divergence(expected: Expected, found: Floats) -> float:
    """Return the mean KL divergence from llama.cpp per position, in nats."""
    ids, theirs = expected
    ours = np.take_along_axis(log_softmax(found).astype(np.float64), ids, axis=-1)
    rests = [np.maximum(1 - np.exp(each).sum(axis=-1), LEAST) for each in (theirs, ours)]
    assert rests[0].mean() < REST_MAX
    of_rest = rests[0] * np.log(rests[0] / rests[1])
    return float(((np.exp(theirs) * (theirs - ours)).sum(axis=-1) + of_rest).mean())


@pytest.fixture(scope="module")
def tokens(onnx_model: Path) -> list[int]:
    return tokenizers.Tokenizer.from_file(str(onnx_model / "tokenizer.json")).encode(PROSE).ids


@pytest.fixture(scope="module")
def expected(gguf: Path, tokens: list[int]) -> Expected:
    return expected_of(gguf, tokens, LIKELIEST)


@pytest.mark.parametrize("precision", Precision)
def test_the_real_model_expects_what_it_does_in_llama_cpp(
    precision: Precision, gguf: Path, tokens: list[int], expected: Expected, tmp_path: Path
) -> None:
    convert(gguf, tmp_path / "out", precision)
    found = logits_of(tmp_path / "out", tokens)
    assert agreement(expected, found) >= AGREEMENT_MIN
    assert divergence(expected, found) < DIVERGENCE_MAX


@pytest.mark.parametrize("tiny", TINIES.values(), ids=TINIES)
def test_every_architecture_expects_what_it_does_in_llama_cpp(
    tiny: TinyLlama, tmp_path: Path
) -> None:
    count = len(vocabulary())
    tokens = [int(each) for each in np.random.default_rng(3).integers(0, count, TINY_LENGTH)]
    size = {f"{tiny.architecture}.attention.value_length": tiny.head_dim}
    source = replace(tiny, metadata={**tiny.metadata, **size}).write(tmp_path / "tiny.gguf")
    expected = expected_of(source, tokens, count)
    limits = {Precision.F32: FLOAT_DIVERGENCE_MAX, Precision.INT8: TINY_DIVERGENCE_MAX}
    for precision, limit in limits.items():
        convert(source, tmp_path / precision, precision)
        assert divergence(expected, logits_of(tmp_path / precision, tokens)) < limit
