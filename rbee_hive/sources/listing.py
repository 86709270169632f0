"""What a repository has at one commit, as its source tells it. Pure."""

from dataclasses import dataclass

LISTED_FILES_MAX = 10_000
LICENCE_BYTES_MAX = 1024 * 1024
LICENCE_WORDS = frozenset({"license", "licence", "copying", "notice"})


@dataclass(frozen=True, slots=True)
class ListedFile:
    """One file; `path` is as the source writes it, and not to be trusted before `inside` took it.

    `sha256` is empty where the source knows only `git_sha1`, git's hash of the file with its size;
    `git_sha1` is empty where it knows the other.
    """

    path: str
    size_bytes: int
    sha256: str = ""
    git_sha1: str = ""

    @property
    def folder(self) -> str:
        """The folder that it is in; empty at the top."""
        return self.path.rpartition("/")[0]

    @property
    def name(self) -> str:
        """Its name in there."""
        return self.path.rpartition("/")[2]


@dataclass(frozen=True, slots=True)
class Listing:
    """A repository at one commit. `licence` is empty where it tells none."""

    repo: str
    commit: str
    files: tuple[ListedFile, ...]
    licence: str = ""
    is_gated: bool = False
    is_private: bool = False

    def by_path(self) -> dict[str, ListedFile]:
        """Return the files by their paths."""
        return {each.path: each for each in self.files}

    def by_folder(self) -> dict[str, list[ListedFile]]:
        """Return the files right in each folder; the empty one is the top."""
        folders: dict[str, list[ListedFile]] = {}
        for each in self.files:
            folders.setdefault(each.folder, []).append(each)
        return folders

    def licences(self) -> tuple[ListedFile, ...]:
        """Return the files at the top that say what may be done with the others."""
        return tuple(each for each in self.files if not each.folder and _is_licence(each))


def _is_licence(file: ListedFile) -> bool:
    words = file.name.lower().replace("-", ".").replace("_", ".").split(".")
    return words[0] in LICENCE_WORDS and file.size_bytes < LICENCE_BYTES_MAX
