"""The model store on disk: a folder per model and revision, and the folder is the catalogue.

A model is built in a staging folder beside the others and renamed into place when it is whole, so
that whatever is here under its name is complete. A staging folder has a lock that its process
holds: one without a holder is what a broken pull left. Everything here blocks for as long as a disk
takes to list, rename or remove.
"""

import asyncio
import os
import secrets
import shutil
from collections.abc import AsyncGenerator, Generator, Iterable
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import replace
from pathlib import Path

from rbee_hive.models.metadata import (
    FILE_NAME,
    MetadataDamagedError,
    ModelFault,
    StoredModel,
    from_yaml,
    to_yaml,
)
from rbee_shared.lifecycle import lock
from rbee_shared.references.reference import Reference, folder_name, folder_prefix

STAGING_PREFIX = ".tmp-"
PARTS_FOLDER = ".parts"
LOCK_SUFFIX = ".lock"
METADATA_BYTES_MAX = 1024 * 1024
PARSED_KEPT_MAX = 1_000

Entries = tuple[tuple[StoredModel, ...], tuple[ModelFault, ...]]
_Stamp = tuple[int, int, int]  # modification time, size and inode: another file has another


class Catalog:
    """The models under one folder."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._parsed: dict[Path, tuple[_Stamp, StoredModel]] = {}

    @property
    def parts(self) -> Path:
        """Where files on their way lie."""
        return self.root / PARTS_FOLDER

    def entries(self) -> Entries:
        """Return the models by reference, newest first, and what is wrong with others."""
        readable, faults = self.readable()
        models: list[StoredModel] = []
        for model in readable:
            found = list(faults_of(model))
            faults.extend(found)
            if not found:
                models.append(model)
        faults.sort(key=lambda fault: (fault.reference, fault.path))
        return tuple(models), tuple(faults)

    def readable(self) -> tuple[list[StoredModel], list[ModelFault]]:
        """Return the models that say what they are, damaged or not, and the entries that do not."""
        models: list[StoredModel] = []
        faults: list[ModelFault] = []
        for folder in self._folders():
            try:
                models.append(self._read(folder))
            except MetadataDamagedError as error:
                if folder.is_dir():  # else it was removed while it was read
                    faults.append(ModelFault(folder.name, FILE_NAME, str(error)))
        models.sort(key=lambda model: (model.reference, -model.create_time_s))
        return models, faults

    def find(self, reference: Reference, revision: str = "") -> StoredModel | None:
        """Return the newest revision, or the one that is named, if it is here and whole by size.

        Raises:
            MetadataDamagedError: there is one, and it is damaged.
        """
        damage: MetadataDamagedError | None = None
        whole: list[StoredModel] = []
        for folder in self.folders_of(reference):
            try:
                model = self._read(folder)
                if revision in ("", model.revision):
                    _check_whole(model, reference)
                    whole.append(model)
            except MetadataDamagedError as error:
                damage = error
        if not whole and damage is not None:
            raise damage
        return max(whole, key=lambda model: model.create_time_s, default=None)

    def revisions_of(self, reference: Reference) -> list[StoredModel]:
        """Return the revisions of a model that say what they are, damaged or not, newest first."""
        models: list[StoredModel] = []
        for folder in self.folders_of(reference):
            with suppress(MetadataDamagedError):
                models.append(self._read(folder))
        return sorted(models, key=lambda model: -model.create_time_s)

    def folders_of(self, reference: Reference) -> list[Path]:
        """Return the folders of all revisions of a model, damaged ones too."""
        return sorted(self.root.glob(f"{folder_prefix(reference)}*"))

    def converted(self, source_sha256: str, converter: str) -> StoredModel | None:
        """Return a model that the same converter made of the same file."""
        for model in self.entries()[0]:
            if (model.source_sha256, model.converter) == (source_sha256, converter):
                return model
        return None

    def holders(self) -> dict[str, Path]:
        """Return a file for each SHA-256 that an entry says it has, whether it has or not."""
        return {
            file.sha256: model.folder / file.path
            for model in self.readable()[0]
            for file in model.files
        }

    def namesakes(self) -> dict[tuple[str, int], Path]:
        """Return a file for each name and size that an entry says it has; the newest's own."""
        models = sorted(self.readable()[0], key=lambda model: model.create_time_s)
        return {
            (file.path.rpartition("/")[2], file.size_bytes): model.folder / file.path
            for model in models
            for file in model.files
        }

    def folder_for(self, reference: Reference, revision: str) -> Path:
        """Return where a revision of a model lies, or would."""
        return self.root / folder_name(reference, revision)

    def place(self, built: Path, model: StoredModel) -> StoredModel:
        """Write the metadata of what was built and give it its name, in the place of any other."""
        for file in model.files:  # a power cut must leave no model that only looks whole
            _synced(built / file.path)
        _write(built, model)
        self.remove(model.folder)
        built.rename(model.folder)
        _synced(self.root)
        return model

    def renewed(self, reference: Reference, model: StoredModel, now_s: float) -> StoredModel:
        """Have a revision be the newest of those that are here: its source went back to it."""
        if all(each.create_time_s <= model.create_time_s for each in self.revisions_of(reference)):
            return model
        renewed = replace(model, create_time_s=now_s)
        _write(model.folder, renewed)
        return renewed

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

    def abandoned(self) -> tuple[Path, ...]:
        """Return the staging folders that broken pulls left."""
        folders = {each.with_suffix("") for each in self.root.glob(f"{STAGING_PREFIX}*")}
        return tuple(
            each for each in sorted(folders) if not lock.is_held(each.with_suffix(LOCK_SUFFIX))
        )

    def sweep(self) -> tuple[str, ...]:
        """Remove what broken pulls left and return the names of it."""
        gone = self.abandoned()
        for folder in gone:
            _discard(folder, folder.with_suffix(LOCK_SUFFIX))
        return tuple(folder.name for folder in gone)

    def _folders(self) -> Generator[Path]:
        try:
            with os.scandir(self.root) as found:
                names = [each.name for each in found if each.is_dir()]
        except FileNotFoundError:  # the user's cache is the user's to empty
            return
        yield from (self.root / name for name in names if not name.startswith("."))

    def _read(self, folder: Path) -> StoredModel:
        # a hive lists its models each second, and the text seldom changes
        with _damage_told(folder):
            found = (folder / FILE_NAME).stat()
        stamp = (found.st_mtime_ns, found.st_size, found.st_ino)
        known = self._parsed.get(folder)
        if known is not None and known[0] == stamp:
            return known[1]
        model = read_entry(folder)
        if len(self._parsed) >= PARSED_KEPT_MAX:
            self._parsed.pop(next(iter(self._parsed)), None)
        self._parsed[folder] = (stamp, model)
        return model


@asynccontextmanager
async def staging(catalog: Catalog) -> AsyncGenerator[Path]:
    """Have an empty folder on the disk of the store for the block, made and removed in a thread."""
    folder = catalog.staging()
    path = await asyncio.to_thread(folder.__enter__)
    try:
        yield path
    finally:
        await asyncio.to_thread(folder.__exit__, None, None, None)


def read_entry(folder: Path) -> StoredModel:
    """Return what the folder of an entry says of itself; blocks for a moment.

    Raises:
        MetadataDamagedError: it says nothing that can be read.
    """
    with _damage_told(folder), (folder / FILE_NAME).open(encoding="utf-8") as file:
        return from_yaml(file.read(METADATA_BYTES_MAX), folder)


@contextmanager
def _damage_told(folder: Path) -> Generator[None]:
    try:
        yield
    except OSError as error:
        why = error.strerror or "it cannot be read"
        raise MetadataDamagedError(f"`{FILE_NAME}` of `{folder.name}`: {why}") from error
    except UnicodeDecodeError as error:
        raise MetadataDamagedError(f"`{FILE_NAME}` of `{folder.name}` is no text") from error


def superseded(models: Iterable[StoredModel]) -> tuple[StoredModel, ...]:
    """Return those of which a newer revision is among them. Pure."""
    newest: dict[str, StoredModel] = {}
    for model in models:
        best = newest.setdefault(model.reference, model)
        if model.create_time_s > best.create_time_s:
            newest[model.reference] = model
    return tuple(model for model in models if newest[model.reference] is not model)


def faults_of(model: StoredModel) -> Generator[ModelFault]:
    """Yield what is wrong with the files of a model, as far as their sizes tell."""
    for each in model.files:
        try:
            size_bytes = (model.folder / each.path).stat().st_size
        except OSError:
            yield ModelFault(model.reference, each.path, f"`{each.path}` is gone")
            continue
        if size_bytes != each.size_bytes:
            message = f"`{each.path}` has {size_bytes} bytes, not {each.size_bytes}"
            yield ModelFault(model.reference, each.path, message)


def _write(folder: Path, model: StoredModel) -> None:
    new = folder / f"{FILE_NAME}.new"
    with new.open("w", encoding="utf-8") as opened:
        opened.write(to_yaml(model))
        opened.flush()
        os.fsync(opened.fileno())
    new.rename(folder / FILE_NAME)


def _check_whole(model: StoredModel, reference: Reference) -> None:
    if model.reference != reference.text:
        raise MetadataDamagedError(f"`{model.folder.name}` holds another model")
    for fault in faults_of(model):
        raise MetadataDamagedError(fault.message)


def _synced(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _discard(folder: Path, lock_file: Path) -> None:
    # what cannot be removed now has no holder from here on, and goes at the next start
    shutil.rmtree(folder, ignore_errors=True)
    lock_file.unlink(missing_ok=True)
