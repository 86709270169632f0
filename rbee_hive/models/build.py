"""From a reference to a model in the store: fetch, convert, hash, place. The work of one pull."""

import asyncio
import hashlib
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rbee_hive.models import description, local
from rbee_hive.models.catalog import Catalog, staging
from rbee_hive.models.convert import CONVERTER, Convert
from rbee_hive.models.disk import storage_error
from rbee_hive.models.fetch import REVISION_LENGTH, Fetched, fetch
from rbee_hive.models.metadata import MetadataDamagedError, ModelFile, StoredModel
from rbee_hive.models.progress import HASHING, LINKING, progress_of
from rbee_hive.models.reference import Reference, folder_name, told_as
from rbee_hive.models.steps import Steps, hash_steps, in_steps
from rbee_shared.narration.event import Level
from rbee_shared.narration.narrate import narrate


@dataclass(frozen=True, slots=True)
class _Built:
    folder: Path
    files: tuple[ModelFile, ...]
    converter: str = ""


async def build(reference: Reference, catalog: Catalog, convert: Convert) -> StoredModel:
    """Have the model in the store; where it fails, nothing is left that counts.

    Raises:
        RbeeError: why it cannot be had.
    """
    try:
        model = await find_whole(reference, catalog)
        if model is None:
            async with staging(catalog) as folder:
                model = await _made(reference, catalog, convert, folder)
    except OSError as error:
        raise storage_error(error, catalog.root) from error
    name = told_as(reference)
    narrate(
        "model_ready",
        "{model} is ready",
        target=name,
        model=name,
        reference=model.reference,
        size_bytes=model.size_bytes,
        cute="{model} is in the honey store",
        story='"{model} is ready", says the hive',
    )
    return model


async def find_whole(reference: Reference, catalog: Catalog) -> StoredModel | None:
    """Return the model if it is here and whole; a damaged one is told, and as good as absent."""
    try:
        return await asyncio.to_thread(catalog.find, reference)
    except MetadataDamagedError as error:
        _tell_damaged(reference, str(error))
        return None


async def _made(
    reference: Reference, catalog: Catalog, convert: Convert, folder: Path
) -> StoredModel:
    began_s = round(time.time(), 3)
    sources, out = folder / "source", folder / "model"
    await asyncio.to_thread(sources.mkdir)
    fetched = await fetch(reference, sources)
    if fetched.is_folder:
        built = _Built(out, await _linked(reference, fetched.path, out))
    else:
        built = await _converted(reference, fetched, out, catalog, convert)
    root = catalog.root
    model = await asyncio.to_thread(_described, reference, fetched, built, root, began_s)
    return await asyncio.to_thread(catalog.place, built.folder, model)


async def _converted(
    reference: Reference, fetched: Fetched, out: Path, catalog: Catalog, convert: Convert
) -> _Built:
    name = told_as(reference)
    twin = await asyncio.to_thread(catalog.converted, fetched.sha256, CONVERTER)
    if twin is not None:
        of_twin = twin.alias or twin.reference
        narrate(
            "model_convert",
            "{model} is converted already, as {twin}",
            target=name,
            model=name,
            twin=of_twin,
            cute="{model} is honey already, as {twin}",
            story='"We have {model} already, as {twin}", says the hive',
        )
        files = await _linked(reference, twin.folder, out)
        if files == twin.files:
            return _Built(out, files, CONVERTER)
        _tell_damaged(reference, f"the files of {of_twin} differ from their hashes")
        out = out.with_name("converted")
    narrate(
        "model_convert",
        "converting {model}",
        target=name,
        model=name,
        cute="turning {model} into honey",
        story='"Now make {model} ours", says the hive',
    )
    await convert(fetched.path, out)
    return _Built(out, await _hashed(reference, out), CONVERTER)


async def _linked(reference: Reference, source: Path, out: Path) -> tuple[ModelFile, ...]:
    await asyncio.to_thread(out.mkdir)
    files = await asyncio.to_thread(local.files_of, source)
    size_bytes = await asyncio.to_thread(_size_of, files)
    told = progress_of(LINKING, reference, size_bytes)
    await in_steps(local.link_steps(files, out), told)
    return await _hashed(reference, out)


async def _hashed(reference: Reference, folder: Path) -> tuple[ModelFile, ...]:
    files = await asyncio.to_thread(local.files_of, folder)
    size_bytes = await asyncio.to_thread(_size_of, files)
    told = progress_of(HASHING, reference, size_bytes)
    return await in_steps(_hash_all(files), told)


def _hash_all(files: Sequence[Path]) -> Steps[tuple[ModelFile, ...]]:
    hashed: list[ModelFile] = []
    done = 0
    for file in files:
        size_bytes = file.stat().st_size
        sha256 = yield from hash_steps(file, begin_bytes=done)
        hashed.append(ModelFile(file.name, size_bytes, sha256))
        done += size_bytes
    return tuple(hashed)


def _size_of(files: Sequence[Path]) -> int:
    return sum(file.stat().st_size for file in files)


def _described(
    reference: Reference, fetched: Fetched, built: _Built, root: Path, began_s: float
) -> StoredModel:
    sha256 = fetched.sha256 or _of_all(built.files)
    revision = fetched.revision or sha256[:REVISION_LENGTH]
    return StoredModel(
        folder=root / folder_name(reference, revision),
        reference=reference.text,
        alias=reference.alias,
        source=reference.text.partition(":")[0],
        revision=revision,
        source_sha256=sha256,
        archive_sha256=fetched.archive_sha256,
        converter=built.converter,
        create_time_s=began_s,
        files=built.files,
        description=description.read(built.folder),
    )


def _of_all(files: Sequence[ModelFile]) -> str:
    lines = "".join(f"{file.sha256}  {file.path}\n" for file in files)
    return hashlib.sha256(lines.encode()).hexdigest()


def _tell_damaged(reference: Reference, why: str) -> None:
    name = told_as(reference)
    narrate(
        "model_damaged",
        "{model} is damaged: {why}",
        target=name,
        level=Level.WARN,
        model=name,
        why=why,
        cute="{model} has gone sour: {why}",
        story='"{model} is damaged", says the hive: {why}',
    )
