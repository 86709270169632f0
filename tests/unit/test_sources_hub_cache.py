"""The Hugging Face cache: what is found there, and what is not taken for it."""

import hashlib
from pathlib import Path

import pytest

from rbee_hive.sources.hub_cache import cached_blob

DATA = b"weights"
SHA256 = hashlib.sha256(DATA).hexdigest()
SHA1 = hashlib.sha1(b"blob 7\0" + DATA, usedforsecurity=False).hexdigest()


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    blobs = tmp_path / "models--org--repo" / "blobs"
    blobs.mkdir(parents=True)
    for name in (SHA256, SHA1, f"{SHA256}.incomplete"):
        (blobs / name).write_bytes(DATA)
    return tmp_path


def test_a_file_is_found_by_either_hash(cache: Path) -> None:
    by_sha256 = cached_blob("org/repo", size_bytes=len(DATA), sha256=SHA256, cache=cache)
    by_sha1 = cached_blob("org/repo", size_bytes=len(DATA), git_sha1=SHA1, cache=cache)
    assert by_sha256 == cache / "models--org--repo" / "blobs" / SHA256
    assert by_sha1 == cache / "models--org--repo" / "blobs" / SHA1


def test_what_is_of_another_repository_size_or_hash_is_not_it(cache: Path) -> None:
    assert cached_blob("org/other", size_bytes=len(DATA), sha256=SHA256, cache=cache) is None
    assert cached_blob("org/repo", size_bytes=len(DATA) + 1, sha256=SHA256, cache=cache) is None
    assert cached_blob("org/repo", size_bytes=len(DATA), sha256="0" * 64, cache=cache) is None
    assert cached_blob("org/repo", size_bytes=len(DATA), cache=cache / "none") is None


@pytest.mark.parametrize(
    "digest", ["", "../../x", f"{SHA256}.incomplete", SHA256.upper(), "a" * 63]
)
def test_what_is_no_hash_leads_nowhere(cache: Path, digest: str) -> None:
    assert cached_blob("org/repo", size_bytes=len(DATA), sha256=digest, cache=cache) is None


def test_a_link_or_a_folder_is_not_taken(cache: Path) -> None:
    blobs = cache / "models--org--repo" / "blobs"
    (blobs / ("1" * 64)).symlink_to(SHA256)
    (blobs / ("2" * 64)).mkdir()
    for digest in ("1" * 64, "2" * 64):
        size_bytes = (blobs / digest).lstat().st_size
        found = cached_blob("org/repo", size_bytes=size_bytes, sha256=digest, cache=cache)
        assert found is None
