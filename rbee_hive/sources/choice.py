"""A choice among the files of a repository, what it is made of, and why there is none. Pure."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from rbee_hive.sources.listing import ListedFile
from rbee_shared.errors import InvalidArgumentError, NotFoundError

CHOICES_SHOWN_MAX = 8


class Layout(StrEnum):
    """How the files of a model are laid out."""

    RBEE = "rbee"
    GGUF = "gguf"
    GENAI = "genai"
    TRANSFORMERS = "transformers"


class ChoiceNotFoundError(NotFoundError):
    """The repository has no such file or quantisation."""

    reason = "MODEL_FILE_NOT_FOUND"


class ChoiceAmbiguousError(InvalidArgumentError):
    """Several files of the repository are meant alike."""

    reason = "MODEL_FILE_AMBIGUOUS"


class FormatUnknownError(InvalidArgumentError):
    """Nothing in the repository is a model that rbee can read."""

    reason = "MODEL_FORMAT_UNKNOWN"


class ModelSplitError(InvalidArgumentError):
    """The model is in several GGUF files."""

    reason = "MODEL_FILE_SPLIT"


@dataclass(frozen=True, slots=True)
class ChosenFile:
    """One file to fetch, and why."""

    file: ListedFile
    reason: str


@dataclass(frozen=True, slots=True)
class Candidate:
    """One way to take the repository, chosen or not, and why. `path` is of its main file."""

    path: str
    size_bytes: int
    quantization: str
    reason: str


@dataclass(frozen=True, slots=True)
class Choice:
    """What is taken of a repository.

    `main` is the file to begin with: the GGUF file, the graph, `genai_config.json` or `rbee.json`.
    `candidates` are all ways there were, by preference, the chosen one first.
    """

    layout: Layout
    main: str
    quantization: str
    files: tuple[ChosenFile, ...]
    candidates: tuple[Candidate, ...]

    @property
    def size_bytes(self) -> int:
        """All files."""
        return sum(each.file.size_bytes for each in self.files)


@dataclass(frozen=True, slots=True)
class Option:
    """One way to take a repository. The least `rank` is preferred; layouts are not compared by it.

    `names` are the quantisations that it answers to. `is_offered` says whether it is taken unless
    it is named by its path. `parts` more than one: the model goes on in other files. `lacks` are
    the files without which it cannot be used.
    """

    layout: Layout
    main: ListedFile
    files: tuple[ChosenFile, ...]
    rank: tuple[int, ...]
    reason: str
    quantization: str = ""
    names: frozenset[str] = frozenset()
    is_offered: bool = True
    parts: int = 1
    lacks: tuple[str, ...] = ()

    @property
    def size_bytes(self) -> int:
        """All files."""
        return sum(each.file.size_bytes for each in self.files)

    @property
    def is_usable(self) -> bool:
        """Whether rbee could read it."""
        return self.parts == 1 and not self.lacks


def told(words: Iterable[str]) -> str:
    """Return the first few words for a message, marked as what they are."""
    all_words: Sequence[str] = tuple(dict.fromkeys(words))
    shown = ", ".join(f"`{each}`" for each in all_words[:CHOICES_SHOWN_MAX])
    left = len(all_words) - CHOICES_SHOWN_MAX
    return f"{shown} and {left} more" if left > 0 else shown


def told_there(words: Iterable[str]) -> str:
    """Return what there is instead, as a hint; empty if nothing."""
    distinct = tuple(dict.fromkeys(words))
    if not distinct:
        return ""
    return f"there {'is' if len(distinct) == 1 else 'are'} {told(distinct)}"
