"""The models of one hive: find, pull, list, delete. What other parts of the hive know of models."""

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

from rbee_hive.models import convert as converter
from rbee_hive.models.build import build, find_whole
from rbee_hive.models.catalog import Catalog
from rbee_hive.models.convert import Convert
from rbee_hive.models.disk import storage_error
from rbee_hive.models.metadata import ModelFault, StoredModel
from rbee_hive.models.pull import Pull
from rbee_hive.models.reference import NO_ALIASES, Reference, parse, told_as
from rbee_shared.errors import (
    FailedPreconditionError,
    ModelNotFoundError,
    ResourceExhaustedError,
)
from rbee_shared.narration.narrate import narrate

PULLS_MAX = 16


class ModelInUseError(FailedPreconditionError):
    """Workers have the model loaded."""

    reason = "MODEL_IN_USE"
    hint = "`rbee worker rm` stops a worker; `--force` stops all that use the model"

    def __init__(self, model: str, users: Sequence[str]) -> None:
        named = ", ".join(f"`{user}`" for user in users)
        super().__init__(f"model `{model}` is used by {named}")


class ModelStore:
    """The models of one hive. Made by `opened_store`."""

    def __init__(
        self,
        catalog: Catalog,
        tasks: asyncio.TaskGroup,
        convert: Convert,
        aliases: Mapping[str, str],
    ) -> None:
        self._catalog = catalog
        self._aliases = aliases
        self._tasks = tasks
        self._convert = convert
        self._pulls: dict[str, Pull] = {}

    def reference(self, text: str) -> Reference:
        """Return what `text` names on this hive, whether it is here or not.

        Raises:
            InvalidArgumentError: `text` is no reference.
            NotFoundError: `text` is a word, and no alias.
            UnimplementedError: it names a source that models are not taken from.
        """
        return parse(text, home=Path.home(), aliases=self._aliases)

    async def find(self, text: str) -> StoredModel | None:
        """Return the model if it is here and whole; a damaged one is told, and as good as absent.

        Raises:
            RbeeError: `text` is no reference; see `reference`.
        """
        return await find_whole(self.reference(text), self._catalog)

    async def get(self, text: str) -> StoredModel:
        """Return the model.

        Raises:
            ModelNotFoundError: it is not here.
            MetadataDamagedError: it is here, and damaged.
            RbeeError: `text` is no reference; see `reference`.
        """
        reference = self.reference(text)
        model = await asyncio.to_thread(self._catalog.find, reference)
        if model is None:
            raise ModelNotFoundError(told_as(reference))
        return model

    async def list(self) -> tuple[tuple[StoredModel, ...], tuple[ModelFault, ...]]:
        """Return the models in the order of their references, and what is wrong with others."""
        return await asyncio.to_thread(self._catalog.entries)

    def pulling(self) -> tuple[Reference, ...]:
        """Return what is being pulled now, in the order of beginning."""
        return tuple(pull.reference for pull in self._pulls.values() if pull.is_open)

    async def pull(self, text: str) -> StoredModel:
        """Have the model here, telling in the current job how it comes. Idempotent.

        All who want one model wait for one transfer. A caller that is cancelled leaves the others
        their transfer; it stops with the last of them.

        Raises:
            RbeeError: why it cannot be had; see `reference` for what `text` may be wrong in.
            ResourceExhaustedError: too many models are being pulled, or the disk is full.
        """
        reference = self.reference(text)
        pull = self._pulls.get(reference.text)
        if pull is None or not pull.is_open:
            pull = self._start(reference)
        return await pull.wait()

    async def delete(self, text: str, *, in_use_by: Sequence[str] = ()) -> None:
        """Remove the model, or what is left of a damaged one.

        Args:
            text: an alias or a reference.
            in_use_by: ids of the workers that have it loaded.

        Raises:
            ModelInUseError: there are such workers.
            ModelNotFoundError: it is not here.
            RbeeError: `text` is no reference; see `reference`.
        """
        reference = self.reference(text)
        name = told_as(reference)
        folders = await asyncio.to_thread(self._catalog.folders, reference)
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
            for folder in folders:
                await asyncio.to_thread(self._catalog.remove, folder)
        except OSError as error:
            raise storage_error(error, self._catalog.root) from error

    def stop(self) -> None:
        """Stop every pull."""
        for pull in list(self._pulls.values()):
            pull.stop()

    def _start(self, reference: Reference) -> Pull:
        if len(self._pulls) >= PULLS_MAX:
            raise ResourceExhaustedError(
                f"{PULLS_MAX} models are being pulled",
                reason="TOO_MANY_PULLS",
                hint="wait for one of them; `rbee job list` shows them",
            )
        pull = self._pulls[reference.text] = Pull(reference)
        work = partial(build, reference, self._catalog, self._convert)
        pull.start(work, self._tasks, self._forget)
        return pull

    def _forget(self, pull: Pull) -> None:
        if self._pulls.get(pull.reference.text) is pull:
            del self._pulls[pull.reference.text]


@asynccontextmanager
async def opened_store(
    folder: Path,
    *,
    convert: Convert = converter.convert,
    aliases: Mapping[str, str] = NO_ALIASES,
) -> AsyncGenerator[ModelStore]:
    """Have the model store in `folder` for the block; pulls still running at its end are stopped.

    What broken pulls left there is removed first, unless another process is at it.

    Raises:
        FailedPreconditionError: the folder cannot be used.
    """
    catalog = Catalog(folder)
    try:
        await asyncio.to_thread(folder.mkdir, parents=True, exist_ok=True)
        swept = await asyncio.to_thread(catalog.sweep)
    except OSError as error:
        raise storage_error(error, folder) from error
    if swept:
        narrate(
            "model_sweep",
            "removing what {count} broken pulls left",
            count=len(swept),
            cute="sweeping up what {count} broken pulls left",
            story='"Who left this here?" asks the hive and sweeps up {count} broken pulls',
        )
    async with asyncio.TaskGroup() as tasks:
        store = ModelStore(catalog, tasks, convert, aliases)
        try:
            yield store
        finally:
            store.stop()
