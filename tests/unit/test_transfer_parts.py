"""Parts on the disk: what is written down is there, whatever happened to the rest."""

import hashlib
from pathlib import Path

import pytest

from rbee_hive.transfer.file import RemoteFile
from rbee_hive.transfer.hashing import Following
from rbee_hive.transfer.parts import Part, done_bytes, leftovers, remove, whole_file

DATA = bytes(range(256)) * 4
FILE = RemoteFile("m", "https://x/m", len(DATA), sha256=hashlib.sha256(DATA).hexdigest())


def opened(folder: Path, file: RemoteFile = FILE) -> Part:
    part = Part(folder, file, "me")
    part.open()
    return part


def test_a_part_is_gone_on_with_and_gets_its_name(tmp_path: Path) -> None:
    part = opened(tmp_path)
    part.write(100, [DATA[100:150], DATA[150:300]])
    part.close()
    assert done_bytes(tmp_path, FILE) == 200
    again = opened(tmp_path)
    assert list(again.spans) == [(100, 300)]
    again.write(0, [DATA[:100]])
    again.write(300, [DATA[300:]])
    assert again.finish().read_bytes() == DATA
    again.close()
    assert whole_file(tmp_path, FILE) is not None
    assert done_bytes(tmp_path, FILE) == len(DATA)


@pytest.mark.parametrize(
    "torn",
    [b"+300 4", b"+3", b"+", b"nonsense\n", b"+9 1\n", b"+0 99999\n", b"\xff\n", b"+\xc2\xb2 5\n"],
)
def test_a_torn_state_says_no_more_than_what_is_there(tmp_path: Path, torn: bytes) -> None:
    part = opened(tmp_path)
    part.write(0, [DATA[:300]])
    part.close()
    state = tmp_path / f"{FILE.name}.state"
    state.write_bytes(state.read_bytes() + torn)
    assert done_bytes(tmp_path, FILE) in (0, 300)
    part = opened(tmp_path)
    part.write(400, [DATA[400:500]])
    part.close()
    assert done_bytes(tmp_path, FILE) in (100, 400)


@pytest.mark.parametrize("header", ["", "[]", "{}", '{"size_bytes": 5}', "[" * 100_000])
def test_a_state_of_something_else_is_worth_nothing(tmp_path: Path, header: str) -> None:
    part = opened(tmp_path)
    part.write(0, [DATA[:300]])
    part.close()
    (tmp_path / f"{FILE.name}.state").write_text(f"{header}\n+0 300\n")
    assert done_bytes(tmp_path, FILE) == 0


def test_a_state_without_its_part_is_worth_nothing(tmp_path: Path) -> None:
    part = opened(tmp_path)
    part.write(0, [DATA[:300]])
    part.remove()
    part.close()
    (tmp_path / f"{FILE.name}.state").write_text(f'{{"size_bytes": {len(DATA)}}}\n+0 300\n')
    assert done_bytes(tmp_path, FILE) == 0


def test_a_closed_part_is_not_written_to(tmp_path: Path) -> None:
    part = opened(tmp_path)
    part.close()
    part.write(0, [DATA])
    part.close()
    late = Part(tmp_path, FILE, "me")
    late.close()
    late.open()
    opened(tmp_path).close()
    assert done_bytes(tmp_path, FILE) == 0


def test_leftovers_have_their_owner_and_go_but_not_from_under_somebody(tmp_path: Path) -> None:
    part = opened(tmp_path)
    part.write(0, [DATA])
    (left,) = leftovers(tmp_path)
    assert (left.name, left.owner) == (FILE.name, "me")
    assert not remove(tmp_path, FILE.name)
    part.close()
    assert remove(tmp_path, FILE.name)
    assert leftovers(tmp_path) == []


def test_a_hash_follows_the_bytes_that_are_there(tmp_path: Path) -> None:
    path = tmp_path / "m"
    path.write_bytes(DATA)
    blob = hashlib.sha1(b"blob %d\0" % len(DATA) + DATA, usedforsecurity=False).hexdigest()
    for file in (FILE, RemoteFile("m", "https://x/m", len(DATA), git_sha1=blob)):
        hashed = Following(path, file)
        hashed.follow(500)
        assert (hashed.done_bytes, hashed.is_right) == (500, False)
        hashed.follow(len(DATA))
        assert hashed.is_right
        assert hashed.sha256 == FILE.sha256
        hashed.close()


def test_a_hash_that_is_stopped_stops(tmp_path: Path) -> None:
    path = tmp_path / "m"
    path.write_bytes(DATA)
    hashed = Following(path, FILE)
    hashed.stop()
    hashed.follow(len(DATA))
    hashed.close()
    assert hashed.done_bytes == 0
