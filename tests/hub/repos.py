"""The repositories of a test hub: folders on the disk, and what was in them at each commit.

`FOLDER/org/name/` is the branch `main` of `org/name`. Whenever a branch is asked for, the folder is
looked at again: other contents are another commit, and the branch moves. Earlier commits stay, as
long as their files are replaced and not written over. `.hub.json` in a repository's folder has its
settings, see `Settings`.
"""

import hashlib
import json
import os
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

LFS_SUFFIXES = {".gguf", ".onnx", ".onnx_data", ".safetensors", ".data"}
LFS_BYTES_MIN = 10 * 1024 * 1024
SETTINGS_FILE = ".hub.json"
KEPT_FOLDER = ".commits"
BLOCK_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Settings:
    """Who may read a repository, and what its card says.

    `gated` is "", "auto" or "manual"; `granted` are the tokens that may read what is gated or
    private. A hub that lies lists the files that `renamed` has under the names there, and serves
    them so.
    """

    gated: str = ""
    is_private: bool = False
    granted: Sequence[str] = ()
    license: str = "apache-2.0"
    tags: Sequence[str] = ()
    renamed: Mapping[str, str] = field(default_factory=dict[str, str])

    @classmethod
    def read(cls, folder: Path) -> "Settings":
        """Read those of a repository's folder."""
        file = folder / SETTINGS_FILE
        return cls(**json.loads(file.read_text())) if file.exists() else cls()


@dataclass(frozen=True, slots=True)
class HubFile:
    """One file of a commit; `file` is where its bytes lie. `sha256` only of those in LFS."""

    path: str
    file: Path
    size_bytes: int
    git_sha1: str
    sha256: str

    @property
    def etag(self) -> str:
        """The hash that the hub gives for the file."""
        return self.sha256 or self.git_sha1


@dataclass(frozen=True, slots=True)
class Commit:
    """What a repository was at one time."""

    repo: str
    sha: str
    files: dict[str, HubFile]


@dataclass(slots=True)
class Repos:
    """All repositories below one folder."""

    root: Path
    _hashes: dict[tuple[str, int, int, int], tuple[str, str]] = field(
        default_factory=dict[tuple[str, int, int, int], tuple[str, str]]
    )
    _commits: dict[tuple[str, str], Commit] = field(default_factory=dict[tuple[str, str], Commit])
    _branches: dict[tuple[str, str], str] = field(default_factory=dict[tuple[str, str], str])
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def settings(self, repo: str) -> Settings | None:
        """Return a repository's settings; None if there is none of that name."""
        folder = self.root / repo
        return Settings.read(folder) if repo.count("/") == 1 and folder.is_dir() else None

    def commit(self, repo: str, revision: str) -> Commit | None:
        """Return what a revision, a branch or a commit, has; None if there is no such revision."""
        with self._lock:
            if known := self._commits.get((repo, revision)):
                return known
            if revision == "main":
                return self._look(repo)
            sha = self._branches.get((repo, revision), "")
            return self._commits.get((repo, sha))

    def branch(self, repo: str, name: str) -> str:
        """Make another branch where `main` is; return its commit."""
        with self._lock:
            sha = self._look(repo).sha
            self._branches[repo, name] = sha
            return sha

    def _look(self, repo: str) -> Commit:
        folder = self.root / repo
        found = [
            self._file(each, each.relative_to(folder).as_posix())
            for each in sorted(folder.rglob("*"))
            if each.is_file() and each.name != SETTINGS_FILE
        ]
        renamed = Settings.read(folder).renamed
        names = {each.path: renamed.get(each.path, each.path) for each in found}
        listed = "\n".join(f"{each.git_sha1} {names[each.path]}" for each in found)
        sha = hashlib.sha1(f"{repo}\n{listed}".encode(), usedforsecurity=False).hexdigest()
        key = (repo, sha)
        if key not in self._commits:
            kept = [self._kept(each, repo, sha) for each in found]
            told = [replace(each, path=names[each.path]) for each in kept]
            files = {each.path: each for each in told}
            self._commits[key] = Commit(repo, sha, files)
        return self._commits[key]

    def _file(self, file: Path, path: str) -> HubFile:
        stat = file.stat()
        key = (str(file), stat.st_ino, stat.st_mtime_ns, stat.st_size)
        if key not in self._hashes:
            self._hashes[key] = _hashes_of(file, stat.st_size)
        git_sha1, sha256 = self._hashes[key]
        is_lfs = file.suffix in LFS_SUFFIXES or stat.st_size >= LFS_BYTES_MIN
        return HubFile(path, file, stat.st_size, git_sha1, sha256 if is_lfs else "")

    def _kept(self, found: HubFile, repo: str, sha: str) -> HubFile:
        kept = self.root / KEPT_FOLDER / repo / sha / found.path
        kept.parent.mkdir(parents=True, exist_ok=True)
        kept.unlink(missing_ok=True)
        os.link(found.file, kept)
        return HubFile(found.path, kept, found.size_bytes, found.git_sha1, found.sha256)


def _hashes_of(file: Path, size_bytes: int) -> tuple[str, str]:
    git_sha1 = hashlib.sha1(b"blob %d\0" % size_bytes, usedforsecurity=False)
    sha256 = hashlib.sha256()
    with file.open("rb") as reader:
        while block := reader.read(BLOCK_BYTES):
            git_sha1.update(block)
            sha256.update(block)
    return git_sha1.hexdigest(), sha256.hexdigest()
