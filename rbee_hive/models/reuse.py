"""Files that are on this machine already: in the Hugging Face cache, or in another model.

Nothing of them is believed: a file counts once its hash is what the hub says.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rbee_hive.models.hashes import is_git_blob
from rbee_hive.models.progress import REUSING, progress_of
from rbee_hive.models.steps import hash_steps, in_steps
from rbee_hive.sources.hub_cache import cached_blob
from rbee_hive.sources.listing import ListedFile
from rbee_hive.transfer.file import Blob


@dataclass(frozen=True, slots=True)
class Reusable:
    """Where files of a repository may be: in the cache, and in other models by SHA-256."""

    repo: str
    holders: Mapping[str, Path]

    def candidate(self, file: ListedFile) -> Path | None:
        """Return what may be the file; blocks for a moment."""
        held = self.holders.get(file.sha256) if file.sha256 else None
        if held is not None and held.is_file() and held.stat().st_size == file.size_bytes:
            return held
        return cached_blob(
            self.repo, size_bytes=file.size_bytes, sha256=file.sha256, git_sha1=file.git_sha1
        )

    def has(self, file: ListedFile) -> bool:
        """Return whether something may be the file; blocks for a moment."""
        return self.candidate(file) is not None


async def reused(files: Sequence[ListedFile], here: Reusable, name: str) -> tuple[Blob, ...]:
    """Return those of the files that are on this machine, each hashed."""
    candidates = await asyncio.to_thread(_candidates, files, here)
    told = progress_of(REUSING, name, sum(file.size_bytes for file, _ in candidates))
    found: list[Blob] = []
    begin_bytes = 0
    for file, path in candidates:
        if file.sha256 or await is_git_blob(path, file.git_sha1):
            sha256 = await in_steps(hash_steps(path, begin_bytes=begin_bytes), told)
            if file.sha256 in ("", sha256):
                found.append(Blob(file.path, path, file.size_bytes, sha256, is_fresh=False))
        begin_bytes += file.size_bytes
    return tuple(found)


def _candidates(files: Sequence[ListedFile], here: Reusable) -> list[tuple[ListedFile, Path]]:
    found = ((file, here.candidate(file)) for file in files)
    return [(file, path) for file, path in found if path is not None]
