"""What a pull would do, told before anything is fetched."""

import asyncio
import shutil
from dataclasses import dataclass

from rbee_hive.models import from_file
from rbee_hive.models.build import find_whole
from rbee_hive.models.sizes import made_bytes, weights_bytes
from rbee_hive.models.store import ModelStore
from rbee_hive.sources.choice import Choice
from rbee_hive.sources.choose import choose
from rbee_shared.errors import UnimplementedError
from rbee_shared.references.reference import (
    FileReference,
    HubReference,
    PypiReference,
    Reference,
)


@dataclass(frozen=True, slots=True)
class PlannedFile:
    """One file that a source has, and why it is taken or not."""

    path: str
    size_bytes: int
    chosen: bool
    reason: str


@dataclass(frozen=True, slots=True)
class Plan:
    """What a pull would do. `weights_bytes` is what a worker would load."""

    reference: str
    revision: str
    choices: tuple[PlannedFile, ...]
    fetch_bytes: int
    reused_bytes: int
    required_disk_bytes: int
    free_disk_bytes: int
    weights_bytes: int
    is_present: bool


async def planned(reference: Reference, store: ModelStore) -> Plan:
    """Return what a pull of the model would do; nothing is fetched.

    Raises:
        RbeeError: the source cannot be asked, or has no such model.
        UnimplementedError: the source tells nothing before it is fetched.
    """
    match reference:
        case HubReference():
            listing = await store.shop.hub.listing(reference)
            choice, revision = choose(listing, reference), listing.commit
            missing_bytes = await store.shop.hub.missing_bytes(listing, choice)
        case FileReference():
            choice, revision = await asyncio.to_thread(from_file.choice_of, reference), ""
            missing_bytes = 0
        case PypiReference():
            raise UnimplementedError(
                "what a wheel holds is known only once it is here",
                reason="TERMS_UNSUPPORTED",
                hint="`--dry-run` is for models of Hugging Face, files and folders",
            )
    total_bytes = choice.size_bytes
    disk = await asyncio.to_thread(shutil.disk_usage, store.catalog.root)
    here = revision and await find_whole(reference, store.catalog, revision)
    is_present = bool(here)
    return Plan(
        reference=reference.text,
        revision=revision,
        choices=_choices(choice),
        fetch_bytes=0 if is_present else missing_bytes,
        reused_bytes=total_bytes if is_present else total_bytes - missing_bytes,
        required_disk_bytes=0 if is_present else missing_bytes + made_bytes(choice, reference),
        free_disk_bytes=disk.free,
        weights_bytes=weights_bytes(choice, reference),
        is_present=is_present,
    )


def _choices(choice: Choice) -> tuple[PlannedFile, ...]:
    chosen = (
        PlannedFile(each.file.path, each.file.size_bytes, chosen=True, reason=each.reason)
        for each in choice.files
    )
    others = (
        PlannedFile(each.path, each.size_bytes, chosen=False, reason=each.reason)
        for each in choice.candidates
        if each.path != choice.main
    )
    return (*chosen, *others)
