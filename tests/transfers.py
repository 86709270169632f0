"""Fetching from a test hub: files as the hub knows them, and what was told on the way."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rbee_hive.transfer.fetcher import Fetcher
from rbee_hive.transfer.file import Blob, RemoteFile
from rbee_hive.transfer.policy import Policy
from rbee_hive.transfer.progress import TransferProgress
from rbee_hive.transfer.rate import Rate
from tests.hub.hub import Hub

REPO = "acorn/tiny-model"
PIECE_BYTES = 64 * 1024
QUICK = Policy(
    stall_s=0.3,
    connect_s=2.0,
    retry_s=0.005,
    piece_bytes=PIECE_BYTES,
    piece_bytes_max=PIECE_BYTES,
    direct_bytes_min=PIECE_BYTES // 4,
    direct_bytes_per_s_min=0,
    direct_look_bytes=0,
    block_bytes=8 * 1024,
    block_s=0.01,
    tell_interval_s=0.0,
    lock_interval_s=0.01,
)


@dataclass
class Told:
    """What was told, which must never fall."""

    all: list[TransferProgress] = field(default_factory=list[TransferProgress])

    def __call__(self, progress: TransferProgress) -> None:
        assert not self.all or progress.done_bytes >= self.all[-1].done_bytes
        assert progress.done_bytes <= progress.total_bytes
        self.all.append(progress)


def room_for_all(_: int) -> None:
    """A disk without an end."""


def remote(hub: Hub, path: str, revision: str = "main") -> RemoteFile:
    """Return a file as the hub describes it."""
    commit = hub.repos.commit(REPO, revision)
    assert commit is not None
    file = commit.files[path]
    hashes = {"sha256": file.sha256} if file.sha256 else {"git_sha1": file.git_sha1}
    return RemoteFile(path, hub.url(REPO, path, commit.sha), file.size_bytes, **hashes)


async def fetched(
    fetcher: Fetcher,
    files: Sequence[RemoteFile],
    *,
    headers: Mapping[str, str] | None = None,
    **terms: Any,
) -> tuple[Blob, ...]:
    """Fetch them for nobody in particular."""
    given: dict[str, Any] = {
        "owner": "m",
        "rate": Rate(),
        "told": Told(),
        "check_room": room_for_all,
    } | terms
    return await fetcher.fetch(files, headers=headers or {}, **given)


def sha256_of(file: Path) -> str:
    """Return a file's hash."""
    return hashlib.sha256(file.read_bytes()).hexdigest()


def names_in(folder: Path) -> set[str]:
    """Return what lies in a folder."""
    return {each.name for each in folder.iterdir()}
