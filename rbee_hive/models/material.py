"""What a reference names, on this machine and verified, before it is made a model."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from rbee_hive.models.metadata import ModelFile

HaveGguf = Callable[[], Awaitable[Path]]


@dataclass(frozen=True, slots=True)
class Gguf:
    """A GGUF file of a known hash, to be converted. `have` fetches it, if it must come at all."""

    sha256: str
    have: HaveGguf


@dataclass(frozen=True, slots=True)
class Folder:
    """A folder in the staging whose files are a model, or will be with a description.

    `graph` is the file that a worker loads, among the files; `files` are those that are hashed.
    """

    path: Path
    graph: str
    files: tuple[ModelFile, ...]


@dataclass(frozen=True, slots=True)
class Material:
    """What a model is made of. `revision` is what its source calls this version."""

    content: Gguf | Folder
    revision: str
    licence: str = ""
    archive_sha256: str = ""


@dataclass(frozen=True, slots=True)
class Offer:
    """What a source has: `collect` has it in a folder. `revision` empty: known once it is here."""

    revision: str
    collect: Callable[[Path], Awaitable[Material]]
