"""From material to the files of a model: converted, taken over from a twin, or described."""

import asyncio
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rbee_hive.files.progress import COMPARING, HASHING, LINKING, Doing, progress_of
from rbee_hive.files.steps import Steps, hash_steps, in_steps
from rbee_hive.models import description
from rbee_hive.models.catalog import Catalog
from rbee_hive.models.convert import Convert, Describe, converter_of
from rbee_hive.models.material import Folder, Gguf, Material
from rbee_hive.models.metadata import ModelFile, StoredModel
from rbee_hive.sources import local
from rbee_shared.narration.event import Level
from rbee_shared.narration.narrate import narrate
from rbee_shared.references.reference import Reference, told_as


@dataclass(frozen=True, slots=True)
class Tools:
    """The child processes that make a model."""

    convert: Convert
    describe: Describe


@dataclass(frozen=True, slots=True)
class Made:
    """The files of a model in a folder of the staging, ready to be placed."""

    folder: Path
    files: tuple[ModelFile, ...]
    source_sha256: str
    converter: str = ""


async def make(
    reference: Reference, material: Material, catalog: Catalog, tools: Tools, staging: Path
) -> Made:
    """Make the model of what came.

    Raises:
        RbeeError: it is no model that rbee can read, or there is no room for it.
    """
    match material.content:
        case Gguf():
            return await _converted(reference, material.content, catalog, tools, staging)
        case Folder():
            return await _described(reference, material, material.content, tools)


async def _converted(
    reference: Reference, gguf: Gguf, catalog: Catalog, tools: Tools, staging: Path
) -> Made:
    name, converter = told_as(reference), converter_of(reference.weights)
    if made := await _of_twin(name, gguf, converter, catalog, staging / "twin"):
        return made
    file, out = await gguf.have(), staging / "model"
    narrate(
        "model_convert",
        "converting {model}",
        target=name,
        model=name,
        cute="turning {model} into honey",
        story='"Now make {model} ours", says the hive',
    )
    await tools.convert(file, out, weights=reference.weights)
    paths = await asyncio.to_thread(local.paths_of, out)
    return Made(out, await hashed(name, out, paths), gguf.sha256, converter)


async def _of_twin(
    name: str, gguf: Gguf, converter: str, catalog: Catalog, out: Path
) -> Made | None:
    twin = await asyncio.to_thread(catalog.converted, gguf.sha256, converter)
    if twin is None:
        return None
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
    places = {each.path: each.path for each in twin.files}
    files = await linked(name, twin.folder, places, out, COMPARING)
    if files == twin.files:
        return Made(out, files, gguf.sha256, converter)
    tell_damaged(name, f"the files of {of_twin} differ from their hashes")
    return None


async def _described(
    reference: Reference, material: Material, folder: Folder, tools: Tools
) -> Made:
    files = folder.files
    source_sha256 = sha256_of_all(files)
    if description.FILE_NAME not in {each.path for each in files}:
        await tools.describe(
            folder.path, graph=folder.graph, name=told_as(reference), licence=material.licence
        )
        files = await asyncio.to_thread(_with_description, folder)
    return Made(folder.path, files, source_sha256)


async def linked(
    name: str, source: Path, places: Mapping[str, str], out: Path, doing: Doing = HASHING
) -> tuple[ModelFile, ...]:
    """Link or copy files of a folder into the new folder `out`, and hash them there.

    Args:
        name: of the model.
        source: the folder.
        places: for each path in `source` that in `out`.
        out: where they go.
        doing: what the hashing is told as.

    Raises:
        DiskFullError: there is no room for a copy.
    """
    await asyncio.to_thread(out.mkdir, parents=True)
    sizes = await asyncio.to_thread(lambda: [(source / path).stat().st_size for path in places])
    told = progress_of(LINKING, name, sum(sizes))
    files = {place: source / path for path, place in places.items()}
    await in_steps(local.link_steps(files, out), told)
    return await hashed(name, out, sorted(files), doing)


async def hashed(
    name: str, folder: Path, paths: Sequence[str], doing: Doing = HASHING
) -> tuple[ModelFile, ...]:
    """Return files of a folder with their hashes."""
    sizes = await asyncio.to_thread(lambda: [(folder / path).stat().st_size for path in paths])
    told = progress_of(doing, name, sum(sizes))
    return await in_steps(_hash_all(folder, paths), told)


def described(
    reference: Reference, material: Material, made: Made, catalog: Catalog, began_s: float
) -> StoredModel:
    """Return the model that was made; blocks for a moment.

    Raises:
        DescriptionDamagedError: it does not say what it is.
    """
    return StoredModel(
        folder=catalog.folder_for(reference, material.revision),
        reference=reference.text,
        alias=reference.alias,
        source=reference.text.partition(":")[0],
        revision=material.revision,
        source_sha256=made.source_sha256,
        archive_sha256=material.archive_sha256,
        converter=made.converter,
        create_time_s=began_s,
        files=made.files,
        description=description.read(made.folder),
    )


def sha256_of_all(files: Sequence[ModelFile]) -> str:
    """Return one hash for a list of files. Pure."""
    lines = "".join(f"{file.sha256}  {file.path}\n" for file in files)
    return hashlib.sha256(lines.encode()).hexdigest()


def tell_damaged(name: str, why: str) -> None:
    """Tell that a model, or a file of it, is not what it should be."""
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


def _hash_all(folder: Path, paths: Sequence[str]) -> Steps[tuple[ModelFile, ...]]:
    files: list[ModelFile] = []
    done = 0
    for path in paths:
        size_bytes = (folder / path).stat().st_size
        sha256 = yield from hash_steps(folder / path, begin_bytes=done)
        files.append(ModelFile(path, size_bytes, sha256))
        done += size_bytes
    return tuple(files)


def _with_description(folder: Folder) -> tuple[ModelFile, ...]:
    data = (folder.path / description.FILE_NAME).read_bytes()
    new = ModelFile(description.FILE_NAME, len(data), hashlib.sha256(data).hexdigest())
    return tuple(sorted([*folder.files, new], key=lambda file: file.path))
