"""What the journal forgets: jobs by age, number and size; the text of answers long before."""

import asyncio
import logging
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from time import time

from rbee_queen.journal.journal import Journal
from rbee_shared.errors import DataLossError
from rbee_shared.jobs.registry import JobRegistry
from rbee_shared.limits import JOURNAL_BYTES_MAX, JOURNAL_TIDY_S, TEXT_KEPT_S

DROPPED_AT_ONCE = 0.1  # of the ended jobs, when the file is too large


@asynccontextmanager
async def tidying(journal: Journal, registry: JobRegistry) -> AsyncGenerator[None]:
    """Tidy again and again while the block runs."""
    async with asyncio.TaskGroup() as tasks:
        again = tasks.create_task(_again(journal, registry), name="journal retention")
        try:
            yield
        finally:
            again.cancel()


async def _again(journal: Journal, registry: JobRegistry) -> None:
    while True:
        try:
            await tidy(journal, registry, time())
        except DataLossError as error:
            logging.warning("%s", error)  # whoever reads it is told; writing goes on or says so
        await asyncio.sleep(JOURNAL_TIDY_S)


async def tidy(
    journal: Journal, registry: JobRegistry, now_s: float, *, bytes_max: int = JOURNAL_BYTES_MAX
) -> None:
    """Forget what is too old or too much.

    Raises:
        DataLossError: the journal cannot be read.
    """
    thread = journal.thread
    registry.forget(now_s)
    while registry.ended() and await thread.size_bytes() > bytes_max:
        ended = registry.ended()
        for entry in ended[: max(1, int(DROPPED_AT_ONCE * len(ended)))]:
            registry.drop(entry.id)
        await _delete_forgotten(journal, registry)
    await _delete_forgotten(journal, registry)
    old = {entry.number for entry in registry.ended() if now_s - entry.end_time_s > TEXT_KEPT_S}
    for number in await thread.numbers_with_text():
        if number in old and not journal.recording(number):
            await thread.forget_texts(number)


async def _delete_forgotten(journal: Journal, registry: JobRegistry) -> None:
    known = {entry.number for entry in (*registry.ended(), *registry.running())}
    gone = [
        number
        for number in await journal.thread.numbers()
        if number not in known and not journal.recording(number)
    ]
    if gone:
        await journal.thread.delete(gone)
