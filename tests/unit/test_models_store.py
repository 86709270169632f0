"""The hive's models as the hive sees them: here and whole, or absent and told."""

import asyncio
import hashlib
import json
from dataclasses import replace
from pathlib import Path

import pytest

from rbee_hive.models.description import FORMAT
from rbee_hive.models.metadata import MetadataDamagedError
from rbee_hive.models.store import ModelInUseError, opened_store
from rbee_shared.errors import (
    FailedPreconditionError,
    ModelNotFoundError,
    NotFoundError,
)
from tests.stores import names, telling, tools

GGUF = b"GGUF" + bytes(range(256)) * 16
DESCRIPTION = {
    "format": FORMAT,
    "name": "Tiny",
    "architecture": "llama",
    "quantization": "int8-block32",
    "licence": "apache-2.0",
    "parameters": 135,
    "context_length": 2_048,
    "layers": 2,
    "kv_heads": 3,
    "head_dim": 64,
    "layout": "rbee",
    "kv_value_bytes": 4,
    "chat_template": None,
}


def write_model(folder: Path, weights: bytes = b"weights") -> Path:
    folder.mkdir()
    (folder / "model.onnx").write_bytes(weights)
    (folder / "tokenizer.json").write_text("{}")
    (folder / "rbee.json").write_text(json.dumps(DESCRIPTION))
    return folder


class Converter:
    """Stands where the converter's process stands: writes what it is given as weights."""

    def __init__(self) -> None:
        self.count = 0

    async def __call__(self, gguf: Path, out: Path, *, weights: str) -> None:
        self.count += 1
        data = await asyncio.to_thread(gguf.read_bytes)
        await asyncio.to_thread(write_model, out, data)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "models"


@pytest.fixture
def source(tmp_path: Path) -> Path:
    file = tmp_path / "tiny.gguf"
    file.write_bytes(GGUF)
    return file


async def test_a_pulled_model_is_here_with_hashes_and_its_story(root: Path, source: Path) -> None:
    async with opened_store(root, tools=tools(Converter())) as store:
        assert await store.find(store.reference(f"file:{source}")) is None
        with telling() as told:
            model = await store.pull(store.reference(f"file:{source}"))
        assert told.actions == ["model_verify", "model_convert", "model_hash", "model_ready"]
        assert {each.target for each in told} == {f"file:{source}"}
        assert await store.get(store.reference(f"file:{source}")) == model
        assert await store.list() == ((model,), ())
    assert model.source_sha256 == hashlib.sha256(GGUF).hexdigest()
    assert [each.path for each in model.files] == ["model.onnx", "rbee.json", "tokenizer.json"]
    weights = model.files[0]
    assert weights.sha256 == hashlib.sha256((model.folder / weights.path).read_bytes()).hexdigest()
    assert names(root) == [model.folder.name]


async def test_pulling_again_does_nothing(root: Path, source: Path) -> None:
    converter = Converter()
    async with opened_store(root, tools=tools(converter)) as store:
        first = await store.pull(store.reference(f"file:{source}"))
        with telling() as told:
            assert await store.pull(store.reference(f"file:{source}")) == first
    assert told.actions == ["model_verify", "model_ready"]
    assert converter.count == 1


async def test_the_same_bytes_under_another_name_are_linked(
    root: Path, source: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "copy.gguf"
    copy.write_bytes(GGUF)
    converter = Converter()
    async with opened_store(root, tools=tools(converter)) as store:
        first = await store.pull(store.reference(f"file:{source}"))
        with telling() as told:
            second = await store.pull(store.reference(f"file:{copy}"))
        assert converter.count == 1
        assert second.files == first.files
        assert (second.folder / "model.onnx").samefile(first.folder / "model.onnx")
        assert f"is converted already, as file:{source}" in " ".join(each.human for each in told)
        await store.delete(store.reference(f"file:{source}"))
        assert await store.get(store.reference(f"file:{copy}")) == second


async def test_a_damaged_twin_is_not_linked(root: Path, source: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy.gguf"
    copy.write_bytes(GGUF)
    converter = Converter()
    async with opened_store(root, tools=tools(converter)) as store:
        first = await store.pull(store.reference(f"file:{source}"))
        (first.folder / "model.onnx").write_bytes(b"x" * first.files[0].size_bytes)
        with telling() as told:
            second = await store.pull(store.reference(f"file:{copy}"))
    assert converter.count == 2
    assert second.files == first.files
    assert "model_damaged" in told.actions


async def test_a_folder_of_ours_is_taken_as_it_is_and_stays_the_users(
    root: Path, tmp_path: Path
) -> None:
    mine = write_model(tmp_path / "mine")
    converter = Converter()
    async with opened_store(root, tools=tools(converter)) as store:
        model = await store.pull(store.reference(f"file:{mine}"))
        assert (model.converter, converter.count) == ("", 0)
        assert model.revision == model.source_sha256[:12]
        await store.delete(store.reference(f"file:{mine}"))
    assert names(root) == []
    assert names(mine) == ["model.onnx", "rbee.json", "tokenizer.json"]


async def test_a_damaged_model_is_told_and_pulled_anew(root: Path, source: Path) -> None:
    converter = Converter()
    async with opened_store(root, tools=tools(converter)) as store:
        model = await store.pull(store.reference(f"file:{source}"))
        (model.folder / "model.onnx").write_bytes(b"cut")
        with telling() as told:
            assert await store.find(store.reference(f"file:{source}")) is None
        assert told[0].level.name == "WARN"
        with pytest.raises(MetadataDamagedError, match="has 3 bytes"):
            await store.get(store.reference(f"file:{source}"))
        models, faults = await store.list()
        assert (models, len(faults)) == ((), 1)
        again = await store.pull(store.reference(f"file:{source}"))
        assert replace(again, create_time_s=model.create_time_s) == model
        assert await store.list() == ((again,), ())
    assert converter.count == 2


async def test_a_model_in_use_is_not_deleted(root: Path, source: Path) -> None:
    async with opened_store(root, tools=tools(Converter())) as store:
        model = await store.pull(store.reference(f"file:{source}"))
        with pytest.raises(ModelInUseError, match="is used by `w-1`, `w-2`") as caught:
            await store.delete(store.reference(f"file:{source}"), in_use_by=["w-1", "w-2"])
        assert caught.value.reason == "MODEL_IN_USE"
        assert model.folder.is_dir()
        await store.delete(store.reference(f"file:{source}"))
        with pytest.raises(ModelNotFoundError):
            await store.delete(store.reference(f"file:{source}"))
        with pytest.raises(ModelNotFoundError):
            await store.get(store.reference(f"file:{source}"))


async def test_a_source_that_is_missing_is_told_before_anything_is_made(root: Path) -> None:
    async with opened_store(root, tools=tools(Converter())) as store:
        with pytest.raises(NotFoundError, match="on this machine"):
            await store.pull(store.reference("file:/nowhere/tiny.gguf"))
        assert names(root) == []


async def test_leftovers_are_cleaned_at_the_start_and_told(root: Path) -> None:
    (root / ".tmp-00").mkdir(parents=True)
    (root / ".tmp-00" / "half.whl").touch()
    with telling() as told:
        async with opened_store(root, tools=tools(Converter())):
            assert names(root) == []
    assert told.actions == ["model_sweep"]


async def test_a_store_that_cannot_be_made_is_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(FailedPreconditionError, match="cannot be used"):
        async with opened_store(tmp_path / "file"):
            pass
