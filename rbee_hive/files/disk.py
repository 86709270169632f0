"""Room on the store's disk: asked for before bytes are written, and told when it runs out."""

import errno
import shutil
from pathlib import Path

from rbee_shared.errors import FailedPreconditionError, RbeeError, ResourceExhaustedError
from rbee_shared.limits import MIB

RESERVE_BYTES = 64 * MIB  # a disk that is full to the last byte stops more than rbee
NO_SPACE = "No space left on device"  # how C libraries, and so child processes, say it


class DiskFullError(ResourceExhaustedError):
    """The disk of the model store has no room for this."""

    reason = "DISK_FULL"
    hint = "`rbee model rm` frees room; `RBEE_MODELS=DIR` puts the store on another disk"


def check_room(folder: Path, needed_bytes: int) -> None:
    """Make sure that `needed_bytes` fit on the disk of `folder`; blocks for a moment.

    Raises:
        DiskFullError: they do not; the message has both numbers.
    """
    free_bytes = shutil.disk_usage(folder).free
    if needed_bytes + RESERVE_BYTES > free_bytes:
        raise DiskFullError(
            f"the model needs {-(-needed_bytes // MIB)} MiB of disk,"
            f" {free_bytes // MIB} MiB are free"
        )


def size_of(path: Path) -> int:
    """Return the bytes of a file, or of all files under a folder; blocks for a moment."""
    if not path.is_dir():
        return path.stat().st_size if path.exists() else 0
    return sum(each.lstat().st_size for each in path.rglob("*") if not each.is_dir())


def no_room_left(folder: Path) -> DiskFullError:
    """Return the error of a disk that ran full on the way."""
    free_mib = shutil.disk_usage(folder).free // MIB
    return DiskFullError(f"the disk ran full while the model was written, {free_mib} MiB are free")


def storage_error(error: OSError, folder: Path) -> RbeeError:
    """Return what an error of the operating system means to whoever wanted the model."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return no_room_left(folder)
    name = f"`{error.filename}`: " if error.filename else ""
    return FailedPreconditionError(
        f"the files of the model cannot be used: {name}{error.strerror or type(error).__name__}",
        reason="STORE_UNUSABLE",
        hint="`RBEE_MODELS=DIR` puts the store in a folder of your choice",
    )
