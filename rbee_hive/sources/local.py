"""Models that are on the hive's machine already: a GGUF file, or a folder with an ONNX layout.

They stay the user's. Files of a folder are linked into the store where the disk allows it, else
copied, so that removing the model from the store never touches them.
"""

import os
from collections.abc import Mapping
from functools import partial
from pathlib import Path

from rbee_hive.files.disk import check_room
from rbee_hive.files.steps import Steps, copy_steps
from rbee_shared.errors import FailedPreconditionError, InvalidArgumentError, NotFoundError
from rbee_shared.references.safe_path import METADATA_FILE

MAGIC = b"GGUF"
FILES_MAX = 10_000


class SourceNotFoundError(NotFoundError):
    """Nothing is where the reference points."""

    reason = "MODEL_SOURCE_NOT_FOUND"
    hint = "the path is looked up on the hive's machine, not where you type"


class NotAModelError(InvalidArgumentError):
    """What is there is no model that rbee can read."""

    reason = "MODEL_FORMAT_UNKNOWN"
    hint = "a GGUF file, or a folder with an ONNX model and its tokenizer.json"


def check(path: Path) -> None:
    """Make sure that a GGUF file or a folder is at `path`, and may be read; blocks for a moment.

    Raises:
        SourceNotFoundError: nothing is there.
        NotAModelError: it is something else.
        FailedPreconditionError: this user may not read it.
    """
    try:
        if path.is_dir():
            with os.scandir(path):
                return
        if path.exists():
            check_gguf(path)
        else:
            raise SourceNotFoundError(f"there is no `{path}` on this machine")
    except PermissionError as error:
        raise FailedPreconditionError(
            f"`{path}` cannot be read: {error.strerror}",
            reason="MODEL_SOURCE_UNREADABLE",
            hint="the hive reads it as the user that runs it",
        ) from error


def check_gguf(file: Path) -> None:
    """Make sure that a file begins as GGUF files do; blocks for a moment.

    Raises:
        NotAModelError: it does not.
    """
    if not file.is_file():
        raise NotAModelError(f"`{file.name}` is not a file")
    with file.open("rb") as opened:
        if opened.read(len(MAGIC)) != MAGIC:
            raise NotAModelError(f"`{file.name}` is not a GGUF file")


def paths_of(folder: Path) -> tuple[str, ...]:
    """Return the paths of all files under a folder, with `/`, in order; blocks for a moment.

    What is hidden is left out, and what rbee itself writes there.

    Raises:
        NotAModelError: there are more than any model has.
    """
    found: list[str] = []
    for parent, names, files in os.walk(folder):
        names[:] = sorted(name for name in names if not name.startswith("."))
        inside = Path(parent).relative_to(folder)
        found.extend(
            (inside / name).as_posix()
            for name in files
            if not name.startswith(".") and (inside / name) != Path(METADATA_FILE)
        )
        if len(found) > FILES_MAX:
            raise NotAModelError(f"`{folder}` has more than {FILES_MAX} files")
    return tuple(sorted(found))


def link_steps(files: Mapping[str, Path], target: Path) -> Steps[None]:
    """Link or copy each file to its path under `target`; yield the bytes done.

    Raises:
        DiskFullError: there is no room for a copy.
    """
    done = 0
    for path, file in files.items():
        new = target / path
        new.parent.mkdir(parents=True, exist_ok=True)
        size_bytes = file.stat().st_size
        if not link(file, new):
            check_room(target, size_bytes)
            yield from copy_steps(partial(file.open, "rb"), new, begin_bytes=done)
        done += size_bytes
        yield done


def link(file: Path, target: Path) -> bool:
    """Give a file one more name, and return whether the disk allows it."""
    try:
        os.link(file.resolve(), target)
    except OSError:  # another disk, a file system without links, or a file of somebody else
        return False
    return True
