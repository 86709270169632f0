"""The model store on disk: a folder per model, and the folder is the catalogue.

A model is built in a staging folder beside the others and renamed into place when it is whole, so
that whatever is here under its name is complete. A staging folder has a lock that its process
holds: one without a holder is what a broken pull left, and goes at the next start. Everything here
blocks for as long as a disk takes to list, rename or remove.
"""

import asyncio
import secrets
import shutil
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

from rbee_hive.models.metadata import (
    FILE_NAME,
    MetadataDamagedError,
    ModelFault,
    StoredModel,
    from_yaml,
    to_yaml,
)
from rbee_hive.models.reference import Reference, folder_prefix
from rbee_shared.lifecycle import lock

STAGING_PREFIX = ".tmp-"
LOCK_SUFFIX = ".lock"
METADATA_BYTES_MAX = 1024 * 1024


class Catalog:
    """The models under one folder."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def entries(self) -> tuple[tuple[StoredModel, ...], tuple[ModelFault, ...]]:
        """Return the models in the order of their references, and what is wrong with others."""
        models: list[StoredModel] = []
        faults: list[ModelFault] = []
        for folder in self.root.iterdir() if self.root.is_dir() else ():
            if folder.name.startswith(".") or not folder.is_dir():
                continue
            try:
                model = _read(folder)
            except MetadataDamagedError as error:
                if folder.is_dir():  # else it was removed while it was read
                    faults.append(ModelFault(folder.name, FILE_NAME, str(error)))
                continue
            found = list(_faults_of(model))
            faults.extend(found)
            if not found:
                models.append(model)
        models.sort(key=lambda model: model.reference)
        faults.sort(key=lambda fault: (fault.reference, fault.path))
        return tuple(models), tuple(faults)

    def find(self, reference: Reference) -> StoredModel | None:
        """Return the newest revision that is here and whole by its sizes.

        Raises:
            MetadataDamagedError: something is here, and all of it is damaged.
        """
        models: list[StoredModel] = []
        faults: list[MetadataDamagedError] = []
        for folder in self.folders(reference):
            try:
                models.append(_whole(folder, reference))
            except MetadataDamagedError as error:
                faults.append(error)
        if faults and not models:
            raise faults[0]
        return max(models, key=lambda model: model.create_time_s, default=None)

    def folders(self, reference: Reference) -> tuple[Path, ...]:
        """Return the folders of all revisions of the model, whole or not."""
        found = self.root.glob(f"{folder_prefix(reference)}*")
        return tuple(sorted(folder for folder in found if folder.is_dir()))

    def converted(self, source_sha256: str, converter: str) -> StoredModel | None:
        """Return a model that the same converter made of the same file."""
        for model in self.entries()[0]:
            if (model.source_sha256, model.converter) == (source_sha256, converter):
                return model
        return None

    def place(self, built: Path, model: StoredModel) -> StoredModel:
        """Write the metadata of what was built and give it its name, in the place of any other."""
        new = built / f"{FILE_NAME}.new"
        new.write_text(to_yaml(model), encoding="utf-8")
        new.rename(built / FILE_NAME)
        self.remove(model.folder)
        built.rename(model.folder)
        return model

    def remove(self, folder: Path) -> None:
        """Remove an entry: out of sight at once, then file by file."""
        if not folder.exists():
            return
        with self.staging() as staging:
            folder.rename(staging / folder.name)

    @contextmanager
    def staging(self) -> Generator[Path]:
        """Have an empty folder for the block, on the disk of the store."""
        folder = self.root / f"{STAGING_PREFIX}{secrets.token_hex(8)}"
        lock_file = folder.with_suffix(LOCK_SUFFIX)
        with lock.held(lock_file, "pull"):
            folder.mkdir()
            try:
                yield folder
            finally:
                _discard(folder, lock_file)

    def sweep(self) -> tuple[str, ...]:
        """Remove what broken pulls left and return the names of it."""
        gone: list[str] = []
        for found in sorted(self.root.glob(f"{STAGING_PREFIX}*")):
            folder = found.with_suffix("")
            lock_file = folder.with_suffix(LOCK_SUFFIX)
            if not lock.is_held(lock_file):
                _discard(folder, lock_file)
                gone.append(folder.name)
        return tuple(dict.fromkeys(gone))


@asynccontextmanager
async def staging(catalog: Catalog) -> AsyncGenerator[Path]:
    """Have an empty folder on the disk of the store for the block, made and removed in a thread."""
    folder = catalog.staging()
    path = await asyncio.to_thread(folder.__enter__)
    try:
        yield path
    finally:
        await asyncio.to_thread(folder.__exit__, None, None, None)


def _discard(folder: Path, lock_file: Path) -> None:
    # what cannot be removed now has no holder from here on, and goes at the next start
    shutil.rmtree(folder, ignore_errors=True)
    lock_file.unlink(missing_ok=True)


def _whole(folder: Path, reference: Reference) -> StoredModel:
    model = _read(folder)
    if model.reference != reference.text:
        raise MetadataDamagedError(f"`{folder.name}` holds another model")
    for fault in _faults_of(model):
        raise MetadataDamagedError(fault.message)
    return model


def _read(folder: Path) -> StoredModel:
    try:
        with (folder / FILE_NAME).open(encoding="utf-8") as file:
            return from_yaml(file.read(METADATA_BYTES_MAX), folder)
    except OSError as error:
        why = error.strerror or "it cannot be read"
        raise MetadataDamagedError(f"`{FILE_NAME}` of `{folder.name}`: {why}") from error
    except UnicodeDecodeError as error:
        raise MetadataDamagedError(f"`{FILE_NAME}` of `{folder.name}` is no text") from error


def _faults_of(model: StoredModel) -> Generator[ModelFault]:
    for each in model.files:
        try:
            size_bytes = (model.folder / each.path).stat().st_size
        except OSError:
            yield ModelFault(model.reference, each.path, f"`{each.path}` is gone")
            continue
        if size_bytes != each.size_bytes:
            message = f"`{each.path}` has {size_bytes} bytes, not {each.size_bytes}"
            yield ModelFault(model.reference, each.path, message)
