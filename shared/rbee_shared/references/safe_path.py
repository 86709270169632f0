"""Names of files that somebody else chose, made sure of before they become paths of ours.

A name that a repository lists is relative, stays inside of its folder on every file system, and
cannot pass for a file that rbee itself writes there. Spaces and letters of all languages are fine.
"""

import os
import unicodedata
from collections.abc import Collection, Iterable
from pathlib import Path, PurePosixPath

from rbee_shared.errors import DataLossError
from rbee_shared.narration.redact import clean_text

PART_BYTES_MAX = 255  # of the file systems in use
PATH_BYTES_MAX = 1024
SHOWN_LENGTH_MAX = 100
OWN_PREFIX = ".rbee"
METADATA_FILE, DESCRIPTION_FILE = "metadata.yaml", "rbee.json"  # what rbee says of a model
OWN_NAMES = frozenset({METADATA_FILE, DESCRIPTION_FILE})
SNAPSHOTS, BLOBS = "snapshots", "blobs"  # of the Hugging Face cache

_NOT_ON_WINDOWS = frozenset('<>:"|?*')
_DEVICES = frozenset(
    {
        "con",
        "prn",
        "aux",
        "nul",
        *(f"{each}{digit}" for each in ("com", "lpt") for digit in "123456789"),
    }
)


class HostileNameError(DataLossError):
    """A source names a file in a way that could lead out of its folder."""

    reason = "SOURCE_HOSTILE"
    hint = "rbee takes nothing from it under that name; ask its owner to rename the file"

    def __init__(self, path: str, why: str) -> None:
        super().__init__(f"the source names a file `{_shown(path)}`, which {why}")


def inside(path: str, *, own: Collection[str] = ()) -> PurePosixPath:
    """Return the path if it is safe to have under a folder of ours. Pure.

    Args:
        path: as the source writes it, with `/`.
        own: names of `OWN_NAMES` that this source may have.

    Raises:
        HostileNameError: it is not.
    """
    if why := _fault_of(path):
        raise HostileNameError(path, why)
    parts = path.split("/")
    for part in parts:
        if why := _fault_of_part(part, own):
            raise HostileNameError(path, why)
    return PurePosixPath(*parts)


def is_safe(path: str, *, own: Collection[str] = ()) -> bool:
    """Say whether `inside` takes the path. Pure."""
    try:
        inside(path, own=own)
    except HostileNameError:
        return False
    return True


def check_distinct(paths: Iterable[str]) -> None:
    """Make sure that no two are one file where a file system looks past case or accents. Pure.

    Raises:
        HostileNameError: two are.
    """
    seen: dict[str, str] = {}
    for path in paths:
        plain = unicodedata.normalize("NFC", unicodedata.normalize("NFC", path).casefold())
        if plain in seen:
            why = f"cannot be told from `{_shown(seen[plain])}` on every file system"
            raise HostileNameError(path, why)
        seen[plain] = path


def resolved_inside(folder: Path, path: PurePosixPath) -> Path:
    """Return where a file of `folder` really is; blocks for a moment.

    A link is followed if it stays inside. The Hugging Face cache keeps what a snapshot lists beside
    it: `snapshots/<revision>/x` may lead to `blobs/<hash>` of the same repository.

    Raises:
        HostileNameError: it leads elsewhere.
        OSError: it is not there, or leads round in circles.
    """
    root = folder.resolve(strict=True)
    real = Path(os.path.realpath(root.joinpath(*path.parts), strict=True))
    if real.is_relative_to(root):
        return real
    if root.parent.name == SNAPSHOTS and real.parent == root.parent.parent / BLOBS:
        return real
    raise HostileNameError(str(path), "leads out of its folder")


def _shown(path: str) -> str:
    return "".join(
        each if each.isprintable() else "?" for each in clean_text(path, SHOWN_LENGTH_MAX)
    )


def _fault_of(path: str) -> str:
    if not path or path.startswith("/"):
        return "is not a relative path"
    if not path.isprintable():
        return "has characters that cannot be printed"
    if "\\" in path:
        return "has a backslash"
    if len(path.encode()) > PATH_BYTES_MAX:
        return f"has more than {PATH_BYTES_MAX} bytes"
    return ""


def _fault_of_part(part: str, own: Collection[str]) -> str:
    if part in {"", ".", ".."}:
        return "has a part that is empty, `.` or `..`"
    if len(part.encode()) > PART_BYTES_MAX:
        return f"has a part of more than {PART_BYTES_MAX} bytes"
    plain = unicodedata.normalize("NFKC", part).casefold()
    if plain.startswith(OWN_PREFIX) or (plain in OWN_NAMES and part not in own):
        return "is a name that rbee keeps for itself"
    if _NOT_ON_WINDOWS & set(part) or part != part.strip(" ").rstrip("."):
        return "is no name of a file on every system"
    if plain.partition(".")[0] in _DEVICES:
        return "is the name of a device on some systems"
    return ""
