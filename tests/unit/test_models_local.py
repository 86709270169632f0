"""Models on the hive's machine, and room on its disk: used where they lie, never changed."""

import hashlib
import os
import shutil
from pathlib import Path

import pytest

from rbee_hive.files.disk import DiskFullError, check_room, storage_error
from rbee_hive.files.steps import in_steps
from rbee_hive.models import convert, description, from_file
from rbee_hive.models.description import DescriptionDamagedError
from rbee_hive.models.material import Gguf
from rbee_hive.sources.choice import FormatUnknownError
from rbee_hive.sources.local import NotAModelError, SourceNotFoundError, link_steps
from rbee_shared.errors import FailedPreconditionError
from rbee_shared.lifecycle.launch import StartFailedError
from rbee_shared.references.reference import FileReference

GGUF = b"GGUF" + bytes(range(256)) * 16
OTHER_DISK = Path("/dev/shm")  # noqa: S108


@pytest.fixture
def target(tmp_path: Path) -> Path:
    folder = tmp_path / "target"
    folder.mkdir()
    return folder


def ignore(_: int) -> None:
    """Take progress and do nothing."""


async def test_a_file_is_used_where_it_lies(tmp_path: Path, target: Path) -> None:
    file = tmp_path / "mine.gguf"
    file.write_bytes(GGUF)
    sha256 = hashlib.sha256(GGUF).hexdigest()
    material = await from_file.collect(FileReference(file), target)
    assert isinstance(material.content, Gguf)
    assert (material.content.sha256, material.revision) == (sha256, sha256[:12])
    assert await material.content.have() == file
    assert os.listdir(target) == []  # noqa: PTH208


async def test_what_is_no_model_is_refused_by_name(tmp_path: Path, target: Path) -> None:
    with pytest.raises(SourceNotFoundError, match="on this machine"):
        await from_file.collect(FileReference(tmp_path / "none.gguf"), target)
    with pytest.raises(NotAModelError, match="is not a file"):
        await from_file.collect(FileReference(Path(os.devnull)), target)
    (tmp_path / "notes").write_text("notes")
    with pytest.raises(NotAModelError, match="`notes` is not a GGUF file"):
        await from_file.collect(FileReference(tmp_path / "notes"), target)


async def test_a_folder_that_lacks_a_file_is_refused_by_its_name(
    tmp_path: Path, target: Path
) -> None:
    (tmp_path / "model.onnx").touch()
    with pytest.raises(FormatUnknownError, match=r"no `config\.json`, `tokenizer\.json` beside"):
        await from_file.collect(FileReference(tmp_path), target)


async def test_the_gguf_file_of_a_folder_is_the_model(tmp_path: Path, target: Path) -> None:
    (tmp_path / "notes.txt").touch()
    (tmp_path / "a.gguf").write_bytes(GGUF)
    material = await from_file.collect(FileReference(tmp_path), target)
    assert isinstance(material.content, Gguf)
    assert await material.content.have() == tmp_path / "a.gguf"


@pytest.mark.skipif(os.getuid() == 0, reason="root may read everything")
async def test_a_file_that_may_not_be_read_is_told(tmp_path: Path, target: Path) -> None:
    file = tmp_path / "mine.gguf"
    file.write_bytes(GGUF)
    file.chmod(0)
    with pytest.raises(FailedPreconditionError, match="cannot be read"):
        await from_file.collect(FileReference(file), target)


async def test_files_are_linked_through_symbolic_links(tmp_path: Path, target: Path) -> None:
    blob, link = tmp_path / "blob", tmp_path / "model.onnx"
    blob.write_bytes(GGUF)
    link.symlink_to(blob)
    done: list[int] = []
    await in_steps(link_steps({"model.onnx": link}, target), done.append)
    assert done == [len(GGUF)]
    assert not (target / "model.onnx").is_symlink()
    assert (target / "model.onnx").samefile(blob)


@pytest.mark.skipif(not OTHER_DISK.is_dir(), reason="needs a second file system")
async def test_files_of_another_disk_are_copied(target: Path) -> None:
    source = OTHER_DISK / f"rbee-test-{os.getpid()}"
    source.write_bytes(GGUF)
    try:
        await in_steps(link_steps({source.name: source}, target), ignore)
        assert (target / source.name).read_bytes() == GGUF
    finally:
        source.unlink()


def test_a_disk_has_room_or_says_both_numbers(target: Path) -> None:
    check_room(target, 0)
    with pytest.raises(DiskFullError, match=r"needs \d+ MiB of disk, \d+ MiB are free"):
        check_room(target, shutil.disk_usage(target).free)


def test_an_error_of_the_system_has_a_reason(target: Path) -> None:
    assert storage_error(OSError(28, "No space left on device"), target).reason == "DISK_FULL"
    other = storage_error(PermissionError(13, "Permission denied", "a.onnx"), target)
    assert other.reason == "STORE_UNUSABLE"
    assert "`a.onnx`: Permission denied" in str(other)


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ("ModuleNotFoundError: No module named 'gguf'", "CONVERTER_MISSING"),
        ("OSError: [Errno 28] No space left on device", "DISK_FULL"),
        ("Killed", "CONVERSION_FAILED"),
    ],
)
def test_the_end_of_a_converter_has_a_reason(words: str, reason: str, target: Path) -> None:
    assert convert.explain(StartFailedError(words), target).reason == reason


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{",
        b"[]",
        b"\xff\xfe",
        b'{"format": 1}',
        b'{"format": 3}',
        b'{"format": 3, "name": 7}',
        b"[" * 100_000,
        b" " * (description.FILE_BYTES_MAX + 1),
    ],
)
def test_a_damaged_description_is_one_error(data: bytes) -> None:
    with pytest.raises(DescriptionDamagedError) as caught:
        description.parse(data)
    assert caught.value.hint
