"""The converter as a process, and what it makes against the same weights in float32."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as untyped_ort
import pytest
import tokenizers as untyped_tokenizers
from numpy.typing import NDArray

from rbee_worker.description import ModelDescription
from tests.model.numpy_llama import NumpyLlama
from tests.tiny_llama import TinyLlama, vocabulary

ort: Any = untyped_ort
tokenizers: Any = untyped_tokenizers

pytestmark = [pytest.mark.model, pytest.mark.timeout(300)]

Floats = NDArray[np.float32]
PROSE = (
    "The old lighthouse stood at the end of a long stone pier. Every evening at 7 o'clock the"
    " keeper climbed its 199 steps, lit the lamp, and looked out over the grey water. Ships"
    " passed far away, and he knew most of them by the shape of their lights."
)

NEAR_TIE = 0.5  # logits: where int8 chooses another token, float32 nearly did


def convert(source: Path, folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "rbee_worker.convert", str(source), str(folder)],
        capture_output=True,
        text=True,
        timeout=240,
        env={**os.environ, **environment},
        check=False,
    )


def logits_of(folder: Path, tokens: list[int], *, past: int = 0) -> Floats:
    """Return all logits of the converted model, the first `past` tokens in a run of their own."""
    found = ModelDescription.read(folder)
    options: Any = ort.SessionOptions()
    options.intra_op_num_threads = 2
    model = str(folder / "model.onnx")
    session: Any = ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    caches = {
        f"{layer}.{part}": np.zeros((1, found.kv_heads, len(tokens), found.head_dim), np.float32)
        for layer in range(found.layers)
        for part in ("key", "value")
    }
    rows: list[Floats] = []
    for first, last in ((0, past), (past, len(tokens))):
        if first == last:
            continue
        inputs = {
            "input_ids": np.array([tokens[first:last]], np.int64),
            "seqlens_k": np.array([last - 1], np.int32),
            "total_len": np.array(last, np.int32),
            "logit_pos": np.arange(last - first),
            **{f"past_key_values.{name}": cache for name, cache in caches.items()},
        }
        names = ["logits", *(f"present.{name}" for name in caches)]
        logits, *present = session.run(names, inputs)
        caches = dict(zip(caches, present, strict=True))
        rows.append(logits)
    return np.concatenate(rows)


def log_softmax(logits: Floats) -> Floats:
    shifted = logits - logits.max(axis=-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))


def divergence(expected: Floats, found: Floats) -> float:
    """Return the mean KL divergence per position, in nats."""
    expected, found = log_softmax(expected), log_softmax(found)
    return float((np.exp(expected) * (expected - found)).sum(axis=-1).mean())


def agreement(expected: Floats, found: Floats) -> float:
    return float((expected.argmax(axis=-1) == found.argmax(axis=-1)).mean())


def test_the_real_model_says_what_its_float_weights_say(gguf: Path, onnx_model: Path) -> None:
    tokens = tokenizers.Tokenizer.from_file(str(onnx_model / "tokenizer.json")).encode(PROSE).ids
    assert len(tokens) > 50
    expected = NumpyLlama(gguf).logits(tokens)
    found = logits_of(onnx_model, tokens)
    assert divergence(expected, found) < 0.02
    assert agreement(expected, found) >= 0.95
    chosen = np.take_along_axis(expected, found.argmax(axis=-1, keepdims=True), axis=-1)
    assert (expected.max(axis=-1, keepdims=True) - chosen).max() < NEAR_TIE


@pytest.mark.parametrize(
    "tiny",
    [
        TinyLlama(),
        TinyLlama(is_tied=False, kv_heads=4),
        TinyLlama(head_dim=32, layers=1, metadata={"llama.rope.freq_base": 500_000.0}),
        TinyLlama(tensors={"rope_freqs.weight": np.linspace(1, 8, 8, dtype=np.float32)}),
    ],
    ids=["tied", "untied", "wide heads", "stretched"],
)
def test_every_form_of_llama_computes_what_it_should(tiny: TinyLlama, tmp_path: Path) -> None:
    source = tiny.write(tmp_path / "tiny.gguf")
    assert convert(source, tmp_path / "out").returncode == 0
    tokens = [int(each) for each in np.random.default_rng(3).integers(0, len(vocabulary()), 60)]
    expected = NumpyLlama(source).logits(tokens)
    assert divergence(expected, logits_of(tmp_path / "out", tokens)) < 2e-3
    assert divergence(expected, logits_of(tmp_path / "out", tokens, past=59)) < 2e-3


def test_a_conversion_tells_each_layer_to_its_parent(tmp_path: Path) -> None:
    source = TinyLlama().write(tmp_path / "tiny.gguf")
    result = convert(source, tmp_path / "out", RBEE_NARRATION="json")
    told = [json.loads(line)["narration"] for line in result.stdout.splitlines()]
    assert [each["progress"] for each in told] == [
        {"done": done, "total": 2, "unit": "steps"} for done in range(3)
    ]
    assert {(each["actor"], each["action"], each["target"]) for each in told} == {
        ("convert", "model_convert", "Tiny")
    }
    assert told[1]["human"] == "converting layer 1 of 2"
    assert result.stderr == ""


def test_the_same_file_gives_the_same_bytes(tmp_path: Path) -> None:
    source = TinyLlama().write(tmp_path / "tiny.gguf")
    for name in ("one", "two"):
        assert convert(source, tmp_path / name, PYTHONHASHSEED=str(len(name))).returncode == 0
    files = sorted(each.name for each in (tmp_path / "one").iterdir())
    assert files == ["model.onnx", "model.onnx.data", "rbee.json", "tokenizer.json"]
    for name in files:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_a_known_error_is_one_line_and_no_traceback(tmp_path: Path) -> None:
    (tmp_path / "notes.gguf").write_text("buy bread")
    result = convert(tmp_path / "notes.gguf", tmp_path / "out")
    assert result.returncode == 1
    assert "`notes.gguf` is not a GGUF file" in result.stdout + result.stderr
    assert "Traceback" not in result.stderr
    assert not (tmp_path / "out").exists()


def test_the_real_model_is_described(onnx_model: Path) -> None:
    found = ModelDescription.read(onnx_model)
    assert (found.architecture, found.licence) == ("llama", "apache-2.0")
    assert (found.layers, found.heads, found.kv_heads, found.head_dim) == (30, 9, 3, 64)
    assert (found.hidden_size, found.vocab_size, found.context_length) == (576, 49_152, 8_192)
    assert found.parameters == 134_515_008
    assert (found.bos_token_id, found.eos_token_ids, found.add_bos) == (1, (2, 0), False)
    assert "<|im_start|>" in (found.chat_template or "")


def test_the_tied_matrix_is_stored_once(onnx_model: Path) -> None:
    data = (onnx_model / "model.onnx.data").stat().st_size
    assert data < 156_000_000  # 134.5 million bytes, their scales, and the rotary tables


@pytest.mark.parametrize(
    "text",
    [
        "Hello, world!",
        "naïve café 🐝🏳️‍🌈",
        "量子コンピュータ は 速い",
        "x = 12345\n\n\t  y",
        "\u0000\u200b",
    ],
)
def test_any_text_survives_the_real_tokenizer(onnx_model: Path, text: str) -> None:
    tokenizer = tokenizers.Tokenizer.from_file(str(onnx_model / "tokenizer.json"))
    assert tokenizer.decode(tokenizer.encode(text).ids) == text


def test_control_tokens_are_single_tokens(onnx_model: Path) -> None:
    tokenizer = tokenizers.Tokenizer.from_file(str(onnx_model / "tokenizer.json"))
    ids = tokenizer.encode("<|im_start|>user\nhi<|im_end|>").ids
    assert (ids[0], ids[-1], len(ids)) == (1, 2, 5)
    assert tokenizer.decode(ids, skip_special_tokens=False) == "<|im_start|>user\nhi<|im_end|>"
    assert len(tokenizer.encode("2024").ids) == 4
