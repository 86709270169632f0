"""Files that are on this machine already: in the Hugging Face cache, or in another model.

Nothing of them is believed: a file counts once its hash is what the hub says.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rbee_hive.models.hashes import hashed_file, is_git_blob
from rbee_hive.sources.hub_cache import cached_blob
from rbee_hive.sources.listing import ListedFile
from rbee_hive.transfer.fetcher import Blob


@dataclass(frozen=True, slots=True)
class Reusable:
    """Where files of a repository may be: its folder of the cache, and other models by SHA-256."""

    repo: str
    holders: Mapping[str, Path]

    def candidate(self, file: ListedFile) -> Path | None:
        """Return what may be the file; blocks for a moment."""
        held = self.holders.get(file.sha256) if file.sha256 else None
        if held is not None and held.is_file() and held.stat().st_size == file.size_bytes:
            return held
        return cached_blob(self.repo, file)

    def has(self, file: ListedFile) -> bool:
        """Return whether something may be the file; blocks for a moment."""
        return self.candidate(file) is not None


async def reused(files: Sequence[ListedFile], here: Reusable, name: str) -> tuple[Blob, ...]:
    """Return those of the files that are on this machine, each hashed."""
    found: list[Blob] = []
    for file in files:
        path = here.candidate(file)
        if path is None:
            continue
        if not file.sha256 and not await is_git_blob(path, file.git_sha1):
            continue
        sha256 = await hashed_file(name, path)
        if file.sha256 in ("", sha256):
            found.append(Blob(file.path, path, file.size_bytes, sha256))
    return tuple(found)
