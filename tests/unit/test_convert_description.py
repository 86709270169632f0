"""`rbee.json`: what is written is read back; what is damaged is said so."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from rbee_hive.models import description as heard
from rbee_worker.description import FILE_NAME, ModelDamagedError, ModelDescription

BEE = ModelDescription(
    name="Bee 🐝",
    architecture="llama",
    quantization="int8-block32",
    licence="",
    parameters=135,
    layers=2,
    heads=4,
    kv_heads=2,
    head_dim=16,
    hidden_size=64,
    vocab_size=262,
    context_length=128,
    bos_token_id=None,
    eos_token_ids=(2, 0),
    add_bos=False,
    chat_template="{{ messages }}",
)


@pytest.mark.parametrize(
    "bee", [BEE, replace(BEE, bos_token_id=1, chat_template=None), replace(BEE, kv_value_bytes=1)]
)
def test_what_is_written_is_read_back(bee: ModelDescription, tmp_path: Path) -> None:
    bee.write(tmp_path)
    assert ModelDescription.read(tmp_path) == bee
    assert [each.name for each in tmp_path.iterdir()] == [FILE_NAME]


def test_a_hive_reads_what_is_written(tmp_path: Path) -> None:
    BEE.write(tmp_path)
    found = heard.read(tmp_path)
    assert (found.name, found.kv_value_bytes) == (BEE.name, BEE.kv_value_bytes)
    assert found.has_chat_template


def test_a_missing_file_is_damage_with_a_hint(tmp_path: Path) -> None:
    with pytest.raises(ModelDamagedError, match=r"`rbee\.json` of the model: No such") as caught:
        ModelDescription.read(tmp_path)
    assert caught.value.hint


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '"x"', "{}", "[" * 100_000, "\ud800"])
def test_what_is_no_description_is_damage(text: str, tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).write_bytes(text.encode(errors="surrogatepass"))
    with pytest.raises(ModelDamagedError, match="malformed"):
        ModelDescription.read(tmp_path)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("name", None),
        ("layers", "2"),
        ("head_dim", 0),
        ("bos_token_id", "1"),
        ("eos_token_ids", ["2"]),
        ("add_bos", 1),
        ("chat_template", 7),
        ("kv_value_bytes", 3),
    ],
)
def test_a_value_of_the_wrong_kind_is_named(key: str, value: Any, tmp_path: Path) -> None:
    BEE.write(tmp_path)
    found = json.loads((tmp_path / FILE_NAME).read_text())
    (tmp_path / FILE_NAME).write_text(json.dumps({**found, key: value}))
    with pytest.raises(ModelDamagedError, match=f"`{key}`"):
        ModelDescription.read(tmp_path)


@pytest.mark.parametrize("form", [0, 2, "3"])
def test_another_format_is_refused(form: Any, tmp_path: Path) -> None:
    BEE.write(tmp_path)
    found = json.loads((tmp_path / FILE_NAME).read_text())
    (tmp_path / FILE_NAME).write_text(json.dumps({**found, "format": form}))
    with pytest.raises(ModelDamagedError, match="another format"):
        ModelDescription.read(tmp_path)
