"""Models of the Hugging Face hub: asked for, chosen, taken from this machine, or fetched."""

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial
from importlib import import_module
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, cast

from rbee_hive.files.disk import check_room
from rbee_hive.files.progress import LINKING, TransferTold, progress_of
from rbee_hive.files.steps import in_steps
from rbee_hive.models.catalog import Catalog
from rbee_hive.models.material import Folder, Gguf, Material, Offer, graph_of, places_of
from rbee_hive.models.metadata import ModelFile
from rbee_hive.models.reuse import Reusable, reused
from rbee_hive.models.sizes import made_bytes
from rbee_hive.sources.choice import Choice, Layout
from rbee_hive.sources.choose import choose
from rbee_hive.sources.listing import ListedFile, Listing
from rbee_hive.sources.local import link, link_steps
from rbee_hive.transfer.fetcher import Fetcher, opened_fetcher
from rbee_hive.transfer.file import Blob, RemoteFile
from rbee_hive.transfer.parts import Leftover, done_bytes
from rbee_hive.transfer.policy import Policy
from rbee_hive.transfer.rate import Rate
from rbee_shared.narration.narrate import narrate
from rbee_shared.references.reference import HubReference, Reference, told_as

if TYPE_CHECKING:
    from rbee_hive.sources.hub import HubSource


@dataclass(frozen=True, slots=True)
class _Wanted:
    """A pull under way: what of which listing, for whom, and how fast."""

    reference: HubReference
    listing: Listing
    choice: Choice
    rate: Rate


class Hub:
    """The hub as the store sees it. Made by `opened_hub`."""

    def __init__(self, fetcher: Fetcher, catalog: Catalog) -> None:
        self._fetcher = fetcher
        self._held: dict[str, list[Blob]] = {}
        self._catalog = catalog

    async def offer(self, reference: HubReference, rate: Rate, revision: str = "") -> Offer:
        """Return what the hub has now, or had at a revision.

        Raises:
            RbeeError: the hub cannot be asked, or has no such model for this user.
        """
        listing = await self.listing(reference, revision)
        choice = choose(listing, reference)
        wanted = _Wanted(reference, listing, choice, rate)
        return Offer(listing.commit, partial(self._collect, wanted))

    async def listing(self, reference: HubReference, revision: str = "") -> Listing:
        """Return what the hub says of a repository.

        Raises:
            RbeeError: the hub cannot be asked, or has no such model for this user.
        """
        name = told_as(reference)
        narrate(
            "model_resolve",
            "asking the hub for {model}",
            target=name,
            model=name,
            reference=reference.text,
            cute="asking the meadow for {model}",
            story='"What is there of {model}?" asks the hive the hub',
        )
        asked = replace(reference, revision=revision) if revision else reference
        source = await asyncio.to_thread(_source)
        return await asyncio.to_thread(source.listing, asked)

    async def missing_bytes(self, listing: Listing, choice: Choice) -> int:
        """Return the bytes of a choice that would have to be fetched."""
        return await asyncio.to_thread(self._missing_bytes, listing, choice)

    async def done(self, reference: Reference, *, is_placed: bool) -> None:
        """Let go of what was fetched for a model: what is in its place is not needed here."""
        blobs = self._held.pop(reference.text, [])
        await self._fetcher.release(blobs, keep=not is_placed)

    async def forget(self, reference: Reference) -> None:
        """Remove what a broken pull of a model left."""
        await self._fetcher.discard(reference.text)

    async def leftovers(self) -> tuple[Leftover, ...]:
        """Return parts of files that nobody is fetching."""
        return await self._fetcher.leftovers(0.0)

    async def remove_leftovers(self, found: Sequence[Leftover]) -> None:
        """Remove parts of files, but not what somebody began to fetch again."""
        await self._fetcher.remove(found)

    def _missing_bytes(self, listing: Listing, choice: Choice) -> int:
        here = self._reusable(listing)
        missing = [each.file for each in choice.files if not here.has(each.file)]
        return sum(
            file.size_bytes - done_bytes(self._catalog.parts, _remote(file, "")) for file in missing
        )

    async def _collect(self, wanted: _Wanted, folder: Path) -> Material:
        listing, choice = wanted.listing, wanted.choice
        if choice.layout != Layout.GGUF:
            content = await self._folder(wanted, folder)
            return Material(content, listing.commit, listing.licence)
        (chosen,) = choice.files
        have = partial(self._gguf, wanted, folder)
        sha256 = chosen.file.sha256 or (await self._all(wanted, folder))[0].sha256
        return Material(Gguf(sha256, have), listing.commit, listing.licence)

    async def _gguf(self, wanted: _Wanted, staging: Path) -> Path:
        (blob,) = await self._all(wanted, staging)
        named = staging / PurePosixPath(wanted.choice.main).name
        # whoever reads it tells of it by its name, and a part has none but its hash
        return named if await asyncio.to_thread(link, blob.file, named) else blob.file

    async def _folder(self, wanted: _Wanted, staging: Path) -> Folder:
        out = staging / "model"
        fetched = {blob.path: blob for blob in await self._all(wanted, staging)}
        blobs = {place: fetched[path] for path, place in places_of(wanted.choice).items()}
        size_bytes = sum(blob.size_bytes for blob in blobs.values())
        told = progress_of(LINKING, told_as(wanted.reference), size_bytes)
        await in_steps(link_steps({place: blob.file for place, blob in blobs.items()}, out), told)
        files = tuple(
            ModelFile(place, blob.size_bytes, blob.sha256) for place, blob in sorted(blobs.items())
        )
        return Folder(out, graph_of(wanted.choice), files)

    async def _all(self, wanted: _Wanted, staging: Path) -> tuple[Blob, ...]:
        name = told_as(wanted.reference)
        files = [each.file for each in wanted.choice.files]
        reusable = await asyncio.to_thread(self._reusable, wanted.listing)
        here = await reused(files, reusable, name, staging)
        missing = [file for file in files if file.path not in {blob.path for blob in here}]
        if not missing:
            return here
        source = await asyncio.to_thread(_source)
        url = partial(source.url, wanted.listing)
        made = made_bytes(wanted.choice, wanted.reference)
        fetched = await self._fetcher.fetch(
            [_remote(file, url(file)) for file in missing],
            owner=wanted.reference.text,
            headers=await asyncio.to_thread(_headers, source),
            rate=wanted.rate,
            check_room=lambda missing_bytes: check_room(self._catalog.root, missing_bytes + made),
            told=TransferTold(name),
        )
        self._held.setdefault(wanted.reference.text, []).extend(fetched)
        return (*here, *fetched)

    def _reusable(self, listing: Listing) -> Reusable:
        return Reusable(listing.repo, self._catalog.holders(), self._catalog.namesakes())


@asynccontextmanager
async def opened_hub(catalog: Catalog, *, policy: Policy | None = None) -> AsyncGenerator[Hub]:
    """Have the hub for the block; what is on its way lies in the catalogue's folder for parts."""
    async with opened_fetcher(catalog.parts, policy=policy) as fetcher:
        yield Hub(fetcher, catalog)


def _source() -> "HubSource":
    # the hub's library takes 0.2 s to import: a hive's start does not wait for it
    module = import_module("rbee_hive.sources.hub")
    return cast("type[HubSource]", module.HubSource)()


def _headers(source: "HubSource") -> Mapping[str, str]:
    token = source.token()
    return {"Authorization": f"Bearer {token}"} if token else {}


def _remote(file: ListedFile, url: str) -> RemoteFile:
    return RemoteFile(
        path=file.path,
        url=url,
        size_bytes=file.size_bytes,
        sha256=file.sha256,
        git_sha1=file.git_sha1,
    )
