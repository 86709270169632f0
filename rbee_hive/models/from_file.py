"""A model that is on the hive's machine: a GGUF file, or the files of a folder that are one."""

import asyncio
from functools import partial
from pathlib import Path, PurePosixPath

from rbee_hive.files.hashes import hashed_file
from rbee_hive.models.make import linked, sha256_of_all
from rbee_hive.models.material import Folder, Gguf, Material, Offer, graph_of, places_of
from rbee_hive.sources import local
from rbee_hive.sources.choice import Choice, ChosenFile, Layout
from rbee_hive.sources.choose import choose
from rbee_hive.sources.listing import ListedFile, Listing
from rbee_shared.references.quantization import kind_in_name
from rbee_shared.references.reference import FileReference, HubReference, told_as
from rbee_shared.references.safe_path import resolved_inside

REVISION_LENGTH = 12


def offer(reference: FileReference) -> Offer:
    """Return what is there; which revision it is, its hash says."""
    return Offer("", partial(collect, reference))


async def collect(reference: FileReference, staging: Path) -> Material:
    """Have what the path names: a file stays where it is, of a folder the files are linked.

    Raises:
        RbeeError: nothing is there, it is no model, or may not be read.
    """
    choice = await asyncio.to_thread(choice_of, reference)
    if choice.layout == Layout.GGUF:
        return await _of_file(reference, await asyncio.to_thread(_file_of, reference, choice))
    out = staging / "model"
    files = await linked(told_as(reference), reference.path, _places(reference.path, choice), out)
    revision = sha256_of_all(files)[:REVISION_LENGTH]
    return Material(Folder(out, graph_of(choice), files), revision)


def choice_of(reference: FileReference) -> Choice:
    """Return what is the model: the file, or which files of the folder; blocks for a moment.

    Raises:
        RbeeError: nothing is there, it is no model, or may not be read.
    """
    folder = reference.path
    local.check(folder)
    if not folder.is_dir():
        return _file_alone(folder)
    files = tuple(
        ListedFile(path, (folder / path).stat().st_size) for path in local.paths_of(folder)
    )
    listing = Listing(repo=str(folder), commit="", files=files)
    return choose(listing, HubReference(repo=str(folder), weights=reference.weights))


def _file_alone(file: Path) -> Choice:
    # whoever names a file wants it, whatever it is called
    chosen = ChosenFile(ListedFile(file.name, file.stat().st_size), "it is the file that is named")
    return Choice(Layout.GGUF, file.name, kind_in_name(file.name), (chosen,), ())


def _file_of(reference: FileReference, choice: Choice) -> Path:
    return reference.path / choice.main if reference.path.is_dir() else reference.path


async def _of_file(reference: FileReference, file: Path) -> Material:
    sha256 = await hashed_file(told_as(reference), file)

    async def have() -> Path:
        return file

    return Material(Gguf(sha256, have), sha256[:REVISION_LENGTH])


def _places(folder: Path, choice: Choice) -> dict[str, str]:
    places = places_of(choice)
    for path in places:
        resolved_inside(folder, PurePosixPath(path))
    return places
