"""The models of one hive: find, pull, list, delete. What other parts of the hive know of models."""

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from rbee_hive.files.disk import storage_error
from rbee_hive.models import convert as converter
from rbee_hive.models.build import Workshop, build, find_whole
from rbee_hive.models.catalog import Catalog
from rbee_hive.models.from_hub import opened_hub
from rbee_hive.models.make import Tools
from rbee_hive.models.metadata import ModelFault, StoredModel
from rbee_hive.models.pull import Pull
from rbee_hive.transfer.policy import Policy
from rbee_shared.errors import (
    FailedPreconditionError,
    ModelNotFoundError,
    ResourceExhaustedError,
)
from rbee_shared.narration.narrate import narrate
from rbee_shared.references.reference import NO_ALIASES, Reference, parse, refined, told_as

PULLS_MAX = 16
TOOLS = Tools(converter.convert, converter.describe)


class ModelInUseError(FailedPreconditionError):
    """Workers have the model loaded."""

    reason = "MODEL_IN_USE"
    hint = "`rbee worker rm` stops a worker; `--force` stops all that use the model"

    def __init__(self, model: str, users: Sequence[str]) -> None:
        named = ", ".join(f"`{user}`" for user in users)
        super().__init__(f"model `{model}` is used by {named}")


@dataclass(slots=True)
class ModelStore:
    """The models of one hive. Made by `opened_store`."""

    shop: Workshop
    aliases: Mapping[str, str]
    tasks: asyncio.TaskGroup
    pulls: dict[str, Pull] = field(default_factory=dict[str, Pull])

    @property
    def catalog(self) -> Catalog:
        """The models on disk."""
        return self.shop.catalog

    def reference(
        self, text: str, *, file: str = "", quantization: str = "", weights: str = ""
    ) -> Reference:
        """Return the model that `text` and the choices beside it name.

        Raises:
            InvalidArgumentError: `text` is no reference, or says something else than they do.
            NotFoundError: `text` is a word, and no alias.
        """
        named = parse(text, home=Path.home(), aliases=self.aliases)
        return refined(named, file=file, quantization=quantization, weights=weights)

    async def find(self, reference: Reference) -> StoredModel | None:
        """Return the newest revision that is whole; a damaged one is told, and as good as none."""
        return await find_whole(reference, self.catalog)

    async def get(self, reference: Reference) -> StoredModel:
        """Return the model.

        Raises:
            ModelNotFoundError: it is not here.
            MetadataDamagedError: it is here, and damaged.
        """
        model = await asyncio.to_thread(self.catalog.find, reference)
        if model is None:
            raise ModelNotFoundError(told_as(reference))
        return model

    async def list(self) -> tuple[tuple[StoredModel, ...], tuple[ModelFault, ...]]:
        """Return the models by reference, newest first, and what is wrong with others."""
        return await asyncio.to_thread(self.catalog.entries)

    def pulling(self) -> tuple[Reference, ...]:
        """Return what is being pulled now, in the order of beginning."""
        return tuple(pull.reference for pull in self.pulls.values() if pull.is_open)

    async def pull(self, reference: Reference, *, rate_bytes_max: int = 0) -> StoredModel:
        """Have the newest revision here, telling in the current job how it comes. Idempotent.

        All who want one model wait for one transfer. A caller that is cancelled leaves the others
        their transfer; it stops with the last of them.

        Args:
            reference: the model.
            rate_bytes_max: bytes a second, 0 for no limit; of several waiters the greatest holds.

        Raises:
            RbeeError: why it cannot be had.
            ResourceExhaustedError: too many models are being pulled, or the disk is full.
        """
        pull = self.pulls.get(reference.text)
        if pull is None or not pull.is_open:
            pull = self._start(reference)
        return await pull.wait(rate_bytes_max)

    async def delete(self, reference: Reference, *, in_use_by: Sequence[str] = ()) -> int:
        """Remove all revisions of the model, or what is left of damaged ones; return the bytes.

        Args:
            reference: the model.
            in_use_by: ids of the workers that have it loaded.

        Raises:
            ModelInUseError: there are such workers.
            ModelNotFoundError: it is not here.
        """
        name = told_as(reference)
        folders = await asyncio.to_thread(self.catalog.folders_of, reference)
        if not folders:
            raise ModelNotFoundError(name)
        if in_use_by:
            raise ModelInUseError(name, in_use_by)
        narrate(
            "model_delete",
            "removing {model}",
            target=name,
            model=name,
            cute="emptying the cells of {model}",
            story='"Out with {model}", says the hive',
        )
        try:
            models = await asyncio.to_thread(self.catalog.revisions_of, reference)
            for folder in folders:
                await asyncio.to_thread(self.catalog.remove, folder)
            await self.shop.hub.forget(reference)
        except OSError as error:
            raise storage_error(error, self.catalog.root) from error
        return sum(model.size_bytes for model in models)

    def stop(self) -> None:
        """Stop every pull."""
        for pull in list(self.pulls.values()):
            pull.stop()

    def _start(self, reference: Reference) -> Pull:
        if len(self.pulls) >= PULLS_MAX:
            raise ResourceExhaustedError(
                f"{PULLS_MAX} models are being pulled",
                reason="TOO_MANY_PULLS",
                hint="wait for one of them; `rbee job list` shows them",
            )
        pull = self.pulls[reference.text] = Pull(reference)
        pull.start(partial(build, reference, self.shop, pull.rate), self.tasks, self._forget)
        return pull

    def _forget(self, pull: Pull) -> None:
        if self.pulls.get(pull.reference.text) is pull:
            del self.pulls[pull.reference.text]


@asynccontextmanager
async def opened_store(
    folder: Path,
    *,
    tools: Tools = TOOLS,
    aliases: Mapping[str, str] = NO_ALIASES,
    policy: Policy | None = None,
) -> AsyncGenerator[ModelStore]:
    """Have the model store in `folder` for the block; pulls still running at its end are stopped.

    What broken pulls left there is removed first, unless another process is at it or it can be
    gone on with.

    Args:
        folder: where it is, or will be.
        tools: what makes models.
        aliases: short names for references.
        policy: the limits of transfers.

    Raises:
        FailedPreconditionError: the folder cannot be used.
    """
    catalog = Catalog(folder)
    try:
        await asyncio.to_thread(catalog.parts.mkdir, parents=True, exist_ok=True)
        swept = await asyncio.to_thread(catalog.sweep)
    except OSError as error:
        raise storage_error(error, folder) from error
    if swept:
        _tell_swept(len(swept))
    async with AsyncExitStack() as stack:
        hub = await stack.enter_async_context(opened_hub(catalog, policy=policy))
        tasks = await stack.enter_async_context(asyncio.TaskGroup())
        store = ModelStore(Workshop(catalog, hub, tools), aliases, tasks)
        try:
            yield store
        finally:
            store.stop()


def _tell_swept(count: int) -> None:
    narrate(
        "model_sweep",
        "removing what {count} broken pulls left",
        count=count,
        cute="sweeping up what {count} broken pulls left",
        story='"Who left this here?" asks the hive and sweeps up {count} broken pulls',
    )
