"""What the journal forgets: jobs by age, number and size; the text of answers long before."""

import asyncio
import logging
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from itertools import count
from time import time

from rbee_queen.journal.journal import Journal
from rbee_shared.errors import DataLossError
from rbee_shared.jobs.registry import JobRegistry
from rbee_shared.limits import JOURNAL_BYTES_MAX, JOURNAL_TIDY_S, TEXT_KEPT_S

DROPPED_AT_ONCE = 0.1  # of the ended jobs, when the file is too large
TEXTS_EACH = 10  # times that it tidies; what is forgotten is scrubbed out of the whole file


@asynccontextmanager
async def tidying(
    journal: Journal, registry: JobRegistry, *, bytes_max: int
) -> AsyncGenerator[None]:
    """Tidy again and again while the block runs."""
    async with asyncio.TaskGroup() as tasks:
        again = tasks.create_task(_again(journal, registry, bytes_max), name="journal retention")
        try:
            yield
        finally:
            again.cancel()


async def _again(journal: Journal, registry: JobRegistry, bytes_max: int) -> None:
    for turn in count():
        try:
            with_texts = turn % TEXTS_EACH == 0
            await tidy(journal, registry, time(), bytes_max=bytes_max, with_texts=with_texts)
        except DataLossError as error:
            logging.warning("%s", error)  # whoever reads it is told; writing goes on or says so
        await asyncio.sleep(JOURNAL_TIDY_S)


async def tidy(
    journal: Journal,
    registry: JobRegistry,
    now_s: float,
    *,
    bytes_max: int = JOURNAL_BYTES_MAX,
    with_texts: bool = True,
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
    if with_texts:
        await _forget_texts(journal, registry, now_s)
        await thread.scrub()


async def _forget_texts(journal: Journal, registry: JobRegistry, now_s: float) -> None:
    old = {entry.number for entry in registry.ended() if now_s - entry.end_time_s > TEXT_KEPT_S}
    for number in await journal.thread.numbers_with_text():
        if number in old and not journal.recording(number):
            await journal.thread.forget_texts(number)


async def _delete_forgotten(journal: Journal, registry: JobRegistry) -> None:
    numbers = await journal.thread.numbers()
    known = {entry.number for entry in (*registry.ended(), *registry.running())}
    gone = [n for n in numbers if n not in known and not journal.recording(n)]
    if gone:
        await journal.thread.delete(gone)
