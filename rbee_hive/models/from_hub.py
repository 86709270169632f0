"""Models of the Hugging Face hub: asked for, chosen, taken from this machine, or fetched."""

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from rbee_hive.models.catalog import Catalog
from rbee_hive.models.disk import check_room
from rbee_hive.models.local import link_steps
from rbee_hive.models.material import Folder, Gguf, Material, Offer
from rbee_hive.models.metadata import ModelFile
from rbee_hive.models.progress import LINKING, progress_of, transfer_told
from rbee_hive.models.reference import HubReference, Reference, told_as
from rbee_hive.models.reuse import Reusable, reused
from rbee_hive.models.sizes import made_bytes
from rbee_hive.models.steps import in_steps
from rbee_hive.sources.choose import GGUF, Choice, choose
from rbee_hive.sources.hub import HubSource
from rbee_hive.sources.listing import ListedFile, Listing
from rbee_hive.transfer.fetcher import Blob, Fetcher, opened_fetcher
from rbee_hive.transfer.file import RemoteFile
from rbee_hive.transfer.rate import Rate
from rbee_shared.narration.narrate import narrate

LEFTOVER_AFTER_S = 0.0


@dataclass(frozen=True, slots=True)
class _Wanted:
    """A pull under way: what of which listing, for whom, and how fast."""

    reference: HubReference
    listing: Listing
    choice: Choice
    rate: Rate


class Hub:
    """The hub as the store sees it. Made by `opened_hub`."""

    def __init__(self, source: HubSource, fetcher: Fetcher, catalog: Catalog) -> None:
        self._source = source
        self._fetcher = fetcher
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
        return await asyncio.to_thread(self._source.listing, reference, revision)

    async def missing_bytes(self, listing: Listing, choice: Choice) -> int:
        """Return the bytes of a choice that would have to be fetched."""
        here = await asyncio.to_thread(self._reusable, listing)
        return sum(
            each.file.size_bytes - self._fetcher.done_bytes(_remote(each.file, ""))
            for each in choice.files
            if not here.has(each.file)
        )

    async def forget(self, reference: Reference) -> None:
        """Remove what was fetched for a model and is not needed any more."""
        await asyncio.to_thread(self._fetcher.discard, reference.text)

    async def leftovers(self) -> tuple[Path, ...]:
        """Return parts of files that nobody is fetching."""
        return await asyncio.to_thread(self._fetcher.leftovers, LEFTOVER_AFTER_S)

    async def remove_leftovers(self, paths: Sequence[Path]) -> None:
        """Remove parts of files, but not what somebody began to fetch again."""
        await asyncio.to_thread(self._fetcher.remove, paths)

    async def _collect(self, wanted: _Wanted, folder: Path) -> Material:
        listing, choice = wanted.listing, wanted.choice
        if choice.layout != GGUF:
            content = await self._folder(wanted, folder / "model")
            return Material(content, listing.commit, listing.licence)
        (chosen,) = choice.files
        have = partial(self._gguf, wanted)
        sha256 = chosen.file.sha256 or (await self._all(wanted))[0].sha256
        return Material(Gguf(sha256, have), listing.commit, listing.licence)

    async def _gguf(self, wanted: _Wanted) -> Path:
        (blob,) = await self._all(wanted)
        return blob.file

    async def _folder(self, wanted: _Wanted, out: Path) -> Folder:
        blobs = await self._all(wanted)
        told = progress_of(
            LINKING, told_as(wanted.reference), sum(blob.size_bytes for blob in blobs)
        )
        await in_steps(link_steps({blob.path: blob.file for blob in blobs}, out), told)
        files = tuple(
            sorted(
                (ModelFile(blob.path, blob.size_bytes, blob.sha256) for blob in blobs),
                key=lambda file: file.path,
            )
        )
        return Folder(out, wanted.choice.main, files)

    async def _all(self, wanted: _Wanted) -> tuple[Blob, ...]:
        name = told_as(wanted.reference)
        files = [each.file for each in wanted.choice.files]
        reusable = await asyncio.to_thread(self._reusable, wanted.listing)
        here = await reused(files, reusable, name)
        missing = [file for file in files if file.path not in {blob.path for blob in here}]
        if not missing:
            return here
        url = partial(self._source.url, wanted.listing)
        made = made_bytes(wanted.choice, wanted.reference)
        fetched = await self._fetcher.fetch(
            [_remote(file, url(file.path)) for file in missing],
            owner=wanted.reference.text,
            headers=await asyncio.to_thread(self._headers),
            rate=wanted.rate,
            check_room=lambda missing_bytes: check_room(self._catalog.root, missing_bytes + made),
            told=transfer_told(name),
        )
        return (*here, *fetched)

    def _reusable(self, listing: Listing) -> Reusable:
        return Reusable(listing.repo, self._catalog.holders())

    def _headers(self) -> Mapping[str, str]:
        token = self._source.token()
        return {"Authorization": f"Bearer {token}"} if token else {}


@asynccontextmanager
async def opened_hub(parts: Path, catalog: Catalog) -> AsyncGenerator[Hub]:
    """Have the hub for the block; what is half fetched lies in `parts`."""
    async with opened_fetcher(parts) as fetcher:
        yield Hub(HubSource(), fetcher, catalog)


def _remote(file: ListedFile, url: str) -> RemoteFile:
    return RemoteFile(
        path=file.path,
        url=url,
        size_bytes=file.size_bytes,
        sha256=file.sha256,
        git_sha1=file.git_sha1,
    )
