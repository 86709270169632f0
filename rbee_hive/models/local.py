"""Models that are on the hive's machine already: a GGUF file, or a folder in our ONNX layout.

They stay the user's. Files of a folder are linked into the store where the disk allows it, else
copied, so that removing the model from the store never touches them.
"""

import os
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from rbee_hive.models import description, metadata
from rbee_hive.models.disk import check_room
from rbee_hive.models.steps import Steps, copy_steps
from rbee_shared.errors import FailedPreconditionError, InvalidArgumentError, NotFoundError

MAGIC = b"GGUF"
NEEDED = (description.FILE_NAME, "model.onnx", "tokenizer.json")
FILES_MAX = 1_000


class SourceNotFoundError(NotFoundError):
    """Nothing is where the reference points."""

    reason = "MODEL_SOURCE_NOT_FOUND"
    hint = "the path is looked up on the hive's machine, not where you type"


class NotAModelError(InvalidArgumentError):
    """What is there is no model that rbee can read."""

    reason = "MODEL_FORMAT_UNKNOWN"
    hint = "a GGUF file, or a folder that rbee converted"


def check(path: Path) -> None:
    """Make sure that a GGUF file or a folder of ours is at `path`; blocks for a moment.

    Raises:
        SourceNotFoundError: nothing is there.
        NotAModelError: it is something else, or the folder lacks a file.
        FailedPreconditionError: this user may not read it.
    """
    try:
        if path.is_dir():
            _check_folder(path)
        elif path.exists():
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


def files_of(folder: Path) -> tuple[Path, ...]:
    """Return the files that make the model in a folder of ours, by name; blocks for a moment.

    Raises:
        NotAModelError: there are more than any model has.
    """
    found = sorted(
        file
        for file in folder.iterdir()
        if file.is_file() and not file.name.startswith(".") and file.name != metadata.FILE_NAME
    )
    if len(found) > FILES_MAX:
        raise NotAModelError(f"`{folder}` has more than {FILES_MAX} files")
    return tuple(found)


def link_steps(files: Sequence[Path], target: Path) -> Steps[None]:
    """Link or copy files into the folder `target`; yield the bytes done.

    Raises:
        DiskFullError: there is no room for a copy.
    """
    done = 0
    for file in files:
        size_bytes = file.stat().st_size
        if not _link(file, target / file.name):
            check_room(target, size_bytes)
            opens = partial(file.open, "rb")
            yield from copy_steps(opens, target / file.name, begin_bytes=done)
        done += size_bytes
        yield done


def _check_folder(folder: Path) -> None:
    missing = [name for name in NEEDED if not (folder / name).is_file()]
    if not missing:
        return
    guesses = sorted(folder.glob("*.gguf"))
    hint = f"did you mean `file:{guesses[0]}`?" if guesses else NotAModelError.hint
    raise NotAModelError(
        f"the folder `{folder}` has no {', '.join(f'`{name}`' for name in missing)}", hint=hint
    )


def _link(file: Path, target: Path) -> bool:
    try:
        os.link(file.resolve(), target)
    except OSError:  # another disk, a file system without links, or a file of somebody else
        return False
    return True
