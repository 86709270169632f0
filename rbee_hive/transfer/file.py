"""What is to be fetched, and what came of it."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """A file at a source, with the hash that it must have: `sha256` or git's `git_sha1`, in hex.

    `path` is what people and the caller call it; two files of one hash are the same content.
    """

    path: str
    url: str
    size_bytes: int
    sha256: str = ""
    git_sha1: str = ""

    @property
    def name(self) -> str:
        """The content's name on the disk: a hash, so never a path."""
        name = self.sha256 or self.git_sha1
        assert name.isalnum(), f"a file needs a hash: {self.path}"
        return name


@dataclass(frozen=True, slots=True)
class Blob:
    """A file that is here and has its hash; `is_fresh` if its bytes came just for this.

    `file` is to be linked or copied to where it belongs before it is released.
    """

    path: str
    file: Path
    size_bytes: int
    sha256: str
    is_fresh: bool
