"""What a reference names, on this machine and verified, before it is made a model."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from rbee_hive.models.metadata import ModelFile
from rbee_hive.sources.choice import Choice, Layout

HaveGguf = Callable[[], Awaitable[Path]]


@dataclass(frozen=True, slots=True)
class Gguf:
    """A GGUF file of a known hash, to be converted. `have` fetches it, if it must come at all."""

    sha256: str
    have: HaveGguf


@dataclass(frozen=True, slots=True)
class Folder:
    """A folder in the staging whose files are a model, or will be with a description.

    `graph` is the file that a worker loads, empty where the files say which; `files` have hashes.
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


def graph_of(choice: Choice) -> str:
    """Return the graph that was chosen of several; empty where the files themselves say it."""
    return choice.main if choice.layout == Layout.TRANSFORMERS else ""


def places_of(choice: Choice) -> dict[str, str]:
    """Return where each file of a choice lies in the model, by its path at the source.

    What describes a model is at its top, wherever in a repository it was. A licence from elsewhere
    gives way to the model's own.
    """
    paths = [each.file.path for each in choice.files]
    folder = "" if choice.layout == Layout.TRANSFORMERS else choice.main.rpartition("/")[0]
    prefix = f"{folder}/" if folder else ""
    places = {path: path.removeprefix(prefix) for path in paths if path.startswith(prefix)}
    taken = {place.casefold() for place in places.values()}
    others = [path for path in paths if path not in places and path.casefold() not in taken]
    return places | {path: path for path in others}
