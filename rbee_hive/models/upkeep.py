"""Keeping the store whole and small: verify and repair, prune, and take in what was copied here."""

import asyncio
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from rbee_hive.files.disk import size_of, storage_error
from rbee_hive.files.hashes import HashMismatchError
from rbee_hive.models.build import find_whole, rebuild
from rbee_hive.models.catalog import Catalog, faults_of, read_entry, staging
from rbee_hive.models.make import linked
from rbee_hive.models.metadata import (
    FILE_NAME,
    MetadataDamagedError,
    ModelFault,
    StoredModel,
)
from rbee_hive.models.store import ModelStore
from rbee_hive.models.verify import verify
from rbee_shared.errors import (
    InvalidArgumentError,
    ModelNotFoundError,
    RbeeError,
)
from rbee_shared.narration.event import Level
from rbee_shared.narration.narrate import narrate
from rbee_shared.references.reference import FileReference, Reference, told_as
from rbee_shared.references.safe_path import resolved_inside


@dataclass(frozen=True, slots=True)
class Verified:
    """What was looked at, and what was wrong with it, each with whether it was mended."""

    model_count: int
    file_count: int
    faults: tuple[tuple[ModelFault, bool], ...]


async def verify_models(store: ModelStore, text: str, *, repair: bool) -> Verified:
    """Hash the files of a model, or of all, again, and put good ones in the place of bad ones.

    Raises:
        ModelNotFoundError: the model that is named is not here.
        RbeeError: `text` is no reference.
    """
    if text:
        reference = store.reference(text)
        folders = await asyncio.to_thread(store.catalog.folders_of, reference)
        if not folders:
            raise ModelNotFoundError(told_as(reference))
        models = await asyncio.to_thread(store.catalog.revisions_of, reference)
        unreadable = [_unreadable(reference)] * (len(folders) - len(models))
    else:
        models, unreadable = await asyncio.to_thread(store.catalog.readable)
    counts = Counter(model.reference for model in models)
    faults: list[tuple[ModelFault, bool]] = []
    for model in models:
        found = await verify(model, is_one_of_many=counts[model.reference] > 1)
        mended = bool(found) and repair and await _mended(store, model)
        faults.extend((fault, mended) for fault in found)
    if unreadable:
        mended = bool(text) and repair and await _pulled(store, text)
        faults.extend((fault, mended) for fault in unreadable)
    return Verified(len(models), sum(len(model.files) for model in models), tuple(faults))


async def prune(
    store: ModelStore, *, in_use: Collection[Path], dry_run: bool
) -> list[tuple[Path, int]]:
    """Remove old revisions that no worker uses, and what broken pulls left.

    Returns:
        What was removed, or with `dry_run` would be, with the bytes that each took.
    """
    try:
        models = await asyncio.to_thread(_outdated, store.catalog)
        old = [model.folder for model in models if model.folder not in in_use]
        swept = await asyncio.to_thread(store.catalog.abandoned)
        parts = await store.shop.hub.leftovers()
        sizes = [(path, await asyncio.to_thread(size_of, path)) for path in (*old, *swept)]
        sizes += [(store.catalog.parts / part.name, part.size_bytes) for part in parts]
        if not dry_run:
            for folder in old:
                await asyncio.to_thread(store.catalog.remove, folder)
            await asyncio.to_thread(store.catalog.sweep)
            await store.shop.hub.remove_leftovers(parts)
    except OSError as error:
        raise storage_error(error, store.catalog.root) from error
    return sizes


async def take_in(store: ModelStore, path_text: str, *, weights: str) -> tuple[StoredModel, bool]:
    """Have the model that is at a path of this machine; return it and whether it was here already.

    An entry of another store is verified by its own list of hashes, and keeps its reference.

    Raises:
        RbeeError: there is no model, it is damaged, or there is no room for it.
    """
    path = Path(path_text)
    if not path.is_absolute():
        raise InvalidArgumentError(
            f"`{path_text}` is not an absolute path",
            reason="PATH_NOT_ABSOLUTE",
            hint="the hive has no current folder",
        )
    try:
        if await asyncio.to_thread((path / FILE_NAME).is_file):
            return await _entry_taken_in(store, path)
    except OSError as error:
        raise storage_error(error, path) from error
    reference = store.reference(f"file:{path}", weights=weights)
    before = await store.find(reference)
    model = await store.pull(reference)
    return model, before is not None and before.revision == model.revision


def _outdated(catalog: Catalog) -> list[StoredModel]:
    models = catalog.readable()[0]
    newest_s: dict[str, float] = {}
    for model in models:
        if not any(faults_of(model)):  # one that is damaged takes nobody's place
            known_s = newest_s.get(model.reference, model.create_time_s)
            newest_s[model.reference] = max(known_s, model.create_time_s)
    return [each for each in models if each.create_time_s < newest_s.get(each.reference, 0.0)]


async def _entry_taken_in(store: ModelStore, path: Path) -> tuple[StoredModel, bool]:
    model = await asyncio.to_thread(read_entry, path)
    reference = store.reference(model.reference)
    if reference.text != model.reference or isinstance(reference, FileReference):
        reference = FileReference(path)  # a path of another machine names nothing here
    catalog, name = store.catalog, told_as(reference)
    if found := await find_whole(reference, catalog, model.revision):
        return found, True
    paths = [each.path for each in model.files]
    await asyncio.to_thread(_check_whole, model)
    async with staging(catalog) as folder:
        places = {each: each for each in paths}
        here = {file.path: file for file in await linked(name, path, places, folder / "model")}
        for file in model.files:
            found_sha256 = here[file.path].sha256
            if found_sha256 != file.sha256:
                raise HashMismatchError(f"`{file.path}`", wanted=file.sha256, found=found_sha256)
        placed = replace(
            model,
            folder=catalog.folder_for(reference, model.revision),
            reference=reference.text,
            alias=reference.alias,
        )
        return await asyncio.to_thread(catalog.place, folder / "model", placed), False


def _check_whole(model: StoredModel) -> None:
    for fault in faults_of(model):
        raise MetadataDamagedError(fault.message, hint="copy the folder here again, all of it")
    for each in model.files:
        resolved_inside(model.folder, PurePosixPath(each.path))


async def _mended(store: ModelStore, model: StoredModel) -> bool:
    try:
        reference = store.reference(model.reference)
        again = await rebuild(model, reference, store.shop)
    except RbeeError as error:
        _tell_unmended(model.alias or model.reference, error)
        return False
    return again.folder == model.folder


async def _pulled(store: ModelStore, text: str) -> bool:
    try:
        await store.pull(store.reference(text))
    except RbeeError as error:
        _tell_unmended(text, error)
        return False
    return True


def _unreadable(reference: Reference) -> ModelFault:
    return ModelFault(reference.text, FILE_NAME, f"`{FILE_NAME}` cannot be read")


def _tell_unmended(name: str, error: RbeeError) -> None:
    narrate(
        "model_repair",
        "{model} is not mended: {why}",
        target=name,
        level=Level.WARN,
        model=name,
        why=str(error),
        cute="{model} stays sour: {why}",
        story='"I cannot mend {model}", says the hive: {why}',
    )
