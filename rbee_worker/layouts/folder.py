"""Files that a model names are files of its folder, or they are not read."""

from pathlib import Path, PurePosixPath, PureWindowsPath

from rbee_shared.errors import FailedPreconditionError
from rbee_worker.description import ModelDamagedError


class OutsideFolderError(FailedPreconditionError):
    """A file of the model points out of the model's folder."""

    reason = "EXTERNAL_DATA_OUTSIDE"
    hint = "nothing outside a model's folder is read; take the model from a source that you trust"

    def __init__(self, name: str) -> None:
        super().__init__(f"the model names `{name}`, which is not in its folder")


def file_in(folder: Path, beside: Path, name: str) -> Path:
    """Return the file that a model calls `name`; blocks for a moment.

    Args:
        folder: of the model; a link may not lead out of it.
        beside: the folder in it that `name` starts from.
        name: a path with forward slashes.

    Raises:
        OutsideFolderError: it is not in the folder, or a link leads out.
        ModelDamagedError: there is no such file.
    """
    posix, windows = PurePosixPath(name), PureWindowsPath(name)
    if not name.isprintable() or "\\" in name or ".." in posix.parts:
        raise OutsideFolderError(name)
    if posix.is_absolute() or windows.drive or windows.root:
        raise OutsideFolderError(name)
    path = beside / posix
    try:
        if not path.resolve().is_relative_to(folder.resolve()):
            raise OutsideFolderError(name)
        found = path.is_file()
    except (OSError, RuntimeError) as error:  # a loop of links, a name that is too long
        raise ModelDamagedError(f"`{name}` of the model cannot be read") from error
    if not found:
        raise ModelDamagedError(f"the model has no `{name}`")
    return path
