"""Files that are on this machine already: in the Hugging Face cache, or in another model.

Nothing of them is believed: a file counts once its hash is what the hub says.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import mkdtemp

from rbee_hive.files.hashes import is_git_blob
from rbee_hive.files.progress import REUSING, progress_of
from rbee_hive.files.steps import hash_steps, in_steps
from rbee_hive.sources.hub_cache import cached_blob
from rbee_hive.sources.listing import ListedFile
from rbee_hive.sources.local import link
from rbee_hive.transfer.file import Blob


@dataclass(frozen=True, slots=True)
class Reusable:
    """Where files of a repository may be: in the cache, and in models that are here.

    Attributes:
        repo: its name.
        holders: files of models by their SHA-256.
        namesakes: files of models by name and size: all that is known of small files, whose
            SHA-256 the hub does not tell.
    """

    repo: str
    holders: Mapping[str, Path]
    namesakes: Mapping[tuple[str, int], Path]

    def candidate(self, file: ListedFile) -> Path | None:
        """Return what may be the file; blocks for a moment."""
        if file.sha256:
            held = self.holders.get(file.sha256)
        else:
            held = self.namesakes.get((file.name, file.size_bytes))
        if held is not None and held.is_file() and held.stat().st_size == file.size_bytes:
            return held
        return cached_blob(
            self.repo, size_bytes=file.size_bytes, sha256=file.sha256, git_sha1=file.git_sha1
        )

    def has(self, file: ListedFile) -> bool:
        """Return whether something may be the file; blocks for a moment."""
        return self.candidate(file) is not None


async def reused(
    files: Sequence[ListedFile], here: Reusable, name: str, staging: Path
) -> tuple[Blob, ...]:
    """Return those of the files that are on this machine, each hashed.

    Where the disk allows it they get a name in `staging` first: whoever removes the
    model that they are of, or empties the cache, does not take them away again.
    """
    candidates = await asyncio.to_thread(_candidates, files, here, staging)
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


def _candidates(
    files: Sequence[ListedFile], here: Reusable, staging: Path
) -> list[tuple[ListedFile, Path]]:
    folder = Path(mkdtemp(prefix="reused-", dir=staging))
    found: list[tuple[ListedFile, Path]] = []
    for index, file in enumerate(files):
        if path := here.candidate(file):
            held = folder / str(index)
            found.append((file, held if link(path, held) else path))
    return found
