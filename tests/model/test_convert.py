"""The converter as a process, and what it makes against the same weights in float32."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import tokenizers as untyped_tokenizers

from rbee_worker.description import ModelDescription
from tests.tiny_llama import TinyLlama

tokenizers: Any = untyped_tokenizers

pytestmark = [pytest.mark.model, pytest.mark.timeout(300)]


def convert(source: Path, folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "rbee_worker.convert", str(source), str(folder)],
        capture_output=True,
        text=True,
        timeout=240,
        env={**os.environ, **environment},
        check=False,
    )


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
