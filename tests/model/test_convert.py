"""The converter as a process, and what it makes against the same weights in float32."""

import json
import os
import signal
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


def convert(
    source: Path, folder: Path, *options: str, **environment: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "rbee_worker.convert", str(source), str(folder), *options],
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
    assert {(each["actor"], each["target"]) for each in told} == {("convert", "Tiny")}
    steps = [each["progress"] for each in told if each["action"] == "model_convert"]
    assert [(each["done"], each["total"], each["unit"]) for each in steps] == [
        (done, 2, "steps") for done in range(3)
    ]
    assert told[1]["human"] == "converting layer 1 of 2"
    measured = [each["progress"] for each in told if each["action"] == "model_calibrate"]
    assert [each["done"] for each in measured] == [128]
    assert {(each["total"], each["unit"]) for each in measured} == {(128, "tokens")}
    assert result.stderr == ""


def test_a_conversion_that_is_cancelled_stops_at_once_and_leaves_no_model(
    gguf: Path, tmp_path: Path
) -> None:
    command = [sys.executable, "-m", "rbee_worker.convert", str(gguf), str(tmp_path / "out")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert any("layer 1 of 30" in line for line in process.stdout)
        process.terminate()
        assert process.wait(timeout=5) == -signal.SIGTERM
    assert not (tmp_path / "out" / "rbee.json").exists()


def test_the_same_file_gives_the_same_bytes(tmp_path: Path) -> None:
    source = TinyLlama().write(tmp_path / "tiny.gguf")
    for name in ("one", "two"):
        assert convert(source, tmp_path / name, PYTHONHASHSEED=str(len(name))).returncode == 0
    files = sorted(each.name for each in (tmp_path / "one").iterdir())
    assert files == ["model.onnx", "model.onnx.data", "rbee.json", "tokenizer.json"]
    for name in files:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_the_form_of_weights_is_the_user_s_choice(tmp_path: Path) -> None:
    source = TinyLlama(kind="Q4_1").write(tmp_path / "tiny.gguf")
    for weights, said in {"int8": "int8-block32", "exact": "exact", "f32": "float32"}.items():
        assert convert(source, tmp_path / weights, "--weights", weights).returncode == 0
        assert ModelDescription.read(tmp_path / weights).quantization == said
    refused = convert(source, tmp_path / "out", "--weights", "int2")
    assert (refused.returncode, refused.stdout) == (2, "")
    assert "invalid" in refused.stderr


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
