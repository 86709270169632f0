"""The one thread that touches the journal's file, so that the event loop never waits for a disk."""

import asyncio
import sqlite3
from collections.abc import AsyncGenerator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TypeVar

from google.protobuf.message import DecodeError

from rbee.v1 import job_pb2
from rbee_queen.journal.schema import opened
from rbee_queen.journal.store import JobRow, JobWrite, Store
from rbee_shared.errors import DataLossError

T = TypeVar("T")


class JournalThread:
    """Calls the store in its thread. Made by `journal_thread`."""

    def __init__(self, store: Store, executor: ThreadPoolExecutor) -> None:
        self._store = store
        self._executor = executor

    async def write(self, writes: Sequence[JobWrite]) -> None:
        """Write all of it or nothing.

        Raises:
            sqlite3.Error: nothing is written.
        """
        await self._call(lambda: self._store.write(writes))

    async def jobs(self) -> list[JobRow]:
        """Return all jobs, the oldest first.

        Raises:
            DataLossError: they cannot be read.
        """
        return await self._read(self._store.jobs)

    async def events(self, number: int, after: int) -> list[job_pb2.JobEvent]:
        """Return the next page of a job's events after that sequence.

        Raises:
            DataLossError: they cannot be read.
        """
        return await self._read(lambda: self._store.events(number, after))

    async def numbers(self) -> list[int]:
        """Return the numbers of all jobs."""
        return await self._read(self._store.numbers)

    async def numbers_with_text(self) -> list[int]:
        """Return the jobs that hold tokens."""
        return await self._read(self._store.numbers_with_text)

    async def forget_texts(self, number: int) -> None:
        """Put one narration in the place of all tokens of a job."""
        await self._read(lambda: self._store.forget_texts(number))

    async def delete(self, numbers: Sequence[int]) -> None:
        """Forget jobs and their stories."""
        await self._read(lambda: self._store.delete(numbers))

    async def scrub(self) -> None:
        """Make sure that nothing that was forgotten can be read in the file any more."""
        await self._read(self._store.scrub)

    async def size_bytes(self) -> int:
        """Return how much of the file is in use."""
        return await self._read(self._store.size_bytes)

    async def _read(self, call: Callable[[], T]) -> T:
        try:
            return await self._call(call)
        except (sqlite3.Error, DecodeError, DataLossError) as error:
            raise DataLossError(
                f"the journal cannot be read: {error}",
                reason="JOURNAL_UNREADABLE",
                hint="`rbee queen stop`, and the next start sets a damaged journal aside",
            ) from error

    async def _call(self, call: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._executor, call)


@asynccontextmanager
async def journal_thread(file: Path) -> AsyncGenerator[JournalThread]:
    """Have the journal open for the block.

    Raises:
        FailedPreconditionError: the file cannot be used, or a newer rbee wrote it.
    """
    loop = asyncio.get_running_loop()
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="journal") as executor:
        store = Store(await loop.run_in_executor(executor, opened, file))
        try:
            yield JournalThread(store, executor)
        finally:
            await loop.run_in_executor(executor, store.close)
