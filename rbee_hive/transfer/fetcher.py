"""Fetching files: as many as wanted, each content once, verified or not at all.

    async with opened_fetcher(folder) as fetcher:
        blobs = await fetcher.fetch(files, owner=..., headers=..., rate=Rate(), told=..., ...)
        ...  # link each blob's file to where it belongs
        await fetcher.release(blobs)

Whoever is cancelled stops at once, and leaves parts that the next one goes on with.
"""

import asyncio
from collections import Counter, defaultdict
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar, cast

import httpx2

from rbee_hive.transfer import parts
from rbee_hive.transfer.answers import origin_of
from rbee_hive.transfer.connection import Route, opened_client
from rbee_hive.transfer.download import Download, Means
from rbee_hive.transfer.file import Blob, RemoteFile
from rbee_hive.transfer.hashing import Following
from rbee_hive.transfer.parts import Leftover, Part, PartBusyError
from rbee_hive.transfer.policy import Policy
from rbee_hive.transfer.rate import Rate
from rbee_hive.transfer.telling import Telling, Told
from rbee_shared.errors import known

T = TypeVar("T")
CheckRoom = Callable[[int], None]


@asynccontextmanager
async def opened_fetcher(
    folder: Path, *, policy: Policy | None = None
) -> AsyncGenerator["Fetcher"]:
    """Have a fetcher whose parts lie in `folder`; at the end of the block all its threads are done.

    Raises:
        OSError: the folder cannot be made.
    """
    policy = policy or Policy()
    await asyncio.to_thread(folder.mkdir, parents=True, exist_ok=True)
    # each open file hashes in one thread, and each connection writes in one
    threads = ThreadPoolExecutor(policy.files_open_max + policy.connections_max, "transfer")
    try:
        async with opened_client(policy) as client:
            yield Fetcher(folder, policy, client, threads)
    finally:
        await asyncio.to_thread(threads.shutdown)


class Fetcher:
    """Fetches files into one folder. Made by `opened_fetcher`."""

    def __init__(
        self,
        folder: Path,
        policy: Policy,
        client: httpx2.AsyncClient,
        threads: ThreadPoolExecutor,
    ) -> None:
        self._folder = folder
        self._policy = policy
        self._threads = threads
        self._means = Means(client, policy, self._in_thread, self._closed, self._slot)
        self._closing: set[asyncio.Future[None]] = set()
        self._slots = asyncio.Semaphore(policy.connections_max)
        self._host_slots: dict[object, asyncio.Semaphore] = defaultdict(
            lambda: asyncio.Semaphore(policy.host_connections_max)
        )
        self._locks: dict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._users: Counter[str] = Counter()
        self._verified: dict[str, str] = {}

    async def fetch(
        self,
        files: Sequence[RemoteFile],
        *,
        owner: str,
        headers: Mapping[str, str],
        rate: Rate,
        told: Told,
        check_room: CheckRoom,
    ) -> tuple[Blob, ...]:
        """Have all the files, in their order.

        Args:
            files: what to fetch.
            owner: for whom, as `leftovers` and `discard` know it.
            headers: for the files' own origins, like Authorization; nobody else sees them.
            rate: the limit, which many fetches may share.
            told: is told how far it is, from the event loop; it never falls.
            check_room: is called once in a thread, with the bytes that are still to come.

        Raises:
            RbeeError: a file cannot be had, or what `check_room` raises.
            OSError: the disk cannot take them.
        """
        done = await self._in_thread(_done, self._folder, tuple(files))
        missing = sum(each.size_bytes for each in files) - sum(done)
        await self._in_thread(check_room, missing)
        telling = Telling(files, told, interval_s=self._policy.tell_interval_s)
        telling.begin(done)
        names = [each.name for each in files]
        self._users.update(names)
        blobs: dict[int, Blob] = {}
        todo = iter(enumerate(files))

        async def take() -> None:
            for index, file in todo:
                telling.open(index)
                order = _Order(file, owner, headers, rate, partial(telling.came, index))
                blobs[index] = await self._one(order)
                telling.close(index, is_whole=True)

        is_given = False
        try:
            async with self._all_closed(), asyncio.TaskGroup() as tasks:
                ticks = tasks.create_task(telling.ticking(self._policy.tell_interval_s_max))
                async with asyncio.TaskGroup() as takers:
                    for _ in range(min(self._policy.files_open_max, len(files))):
                        takers.create_task(take())
                ticks.cancel()
            is_given = True  # nothing is waited for from here on: the caller has them
        except ExceptionGroup as group:
            raise first_of(group) from group
        finally:
            if not is_given:  # a cancel may come when all are here
                self._forget(names)
        return tuple(blobs[index] for index in range(len(files)))

    async def release(self, blobs: Sequence[Blob], *, keep: bool = False) -> None:
        """Let go of what was fetched; unless it is to be kept, it goes where nobody else waits.

        Args:
            blobs: as `fetch` returned them.
            keep: for whoever fetches the same again.
        """
        unused = self._forget([each.file.name for each in blobs])
        if not keep:
            await self._in_thread(_remove_all, self._folder, unused)

    async def discard(self, owner: str) -> None:
        """Remove all that is left of an owner and that nobody is fetching."""
        await self.remove([each for each in await self.leftovers(0.0) if each.owner == owner])

    async def leftovers(self, older_than_s: float) -> tuple[Leftover, ...]:
        """Return what nobody here is fetching and nobody has touched for that long."""
        found = await self._in_thread(parts.leftovers, self._folder)
        return tuple(
            each for each in found if each.age_s >= older_than_s and not self._users[each.name]
        )

    async def remove(self, found: Sequence[Leftover]) -> None:
        """Remove leftovers, except those that somebody has begun to fetch."""
        unused = [each.name for each in found if not self._users[each.name]]
        await self._in_thread(_remove_all, self._folder, unused)

    async def _one(self, order: "_Order") -> Blob:
        name = order.file.name
        async with self._locks[name]:  # one content is fetched once, whoever wants it
            while True:
                if blob := await self._found(order):
                    return blob
                part = Part(self._folder, order.file, order.owner)
                try:
                    await self._in_thread(part.open)
                    return await self._downloaded(order, part)
                except PartBusyError:
                    await asyncio.sleep(self._policy.lock_interval_s)
                finally:
                    await self._closed(part.close)

    async def _found(self, order: "_Order") -> Blob | None:
        file = order.file
        path = await self._in_thread(parts.whole_file, self._folder, file)
        if path is None:
            return None
        if file.name not in self._verified:
            hashed = Following(path, file)
            try:
                await self._in_thread(hashed.follow, file.size_bytes)
            finally:
                hashed.stop()
                await self._closed(hashed.close)
            if not hashed.is_right:
                await self._in_thread(path.unlink)
                return None
            self._verified[file.name] = hashed.sha256
        order.came(0, file.size_bytes)
        return Blob(file.path, path, file.size_bytes, self._verified[file.name], is_fresh=False)

    async def _downloaded(self, order: "_Order", part: Part) -> Blob:
        file = order.file

        def came(size_bytes: int) -> None:
            order.came(size_bytes, part.spans.size_bytes)

        download = Download(self._means, part, Route(file, order.headers), order.rate, came)
        sha256 = await download.run()
        path = await self._in_thread(part.finish)
        self._verified[file.name] = sha256
        return Blob(file.path, path, file.size_bytes, sha256, is_fresh=True)

    def _forget(self, names: Sequence[str]) -> list[str]:
        self._users.subtract(names)
        unused = [each for each in dict.fromkeys(names) if self._users[each] <= 0]
        for name in unused:
            del self._users[name]
            self._verified.pop(name, None)
            self._locks.pop(name, None)
        return unused

    @asynccontextmanager
    async def _slot(self, url: str) -> AsyncGenerator[None]:
        async with self._host_slots[origin_of(url)], self._slots:
            yield

    @asynccontextmanager
    async def _all_closed(self) -> AsyncGenerator[None]:
        try:
            yield
        finally:
            if self._closing:
                await asyncio.wait(self._closing)

    async def _closed(self, close: Callable[[], None]) -> None:
        # a cancel takes back what no thread has begun, but not what is only waited for
        closing = asyncio.get_running_loop().run_in_executor(self._threads, close)
        self._closing.add(closing)
        closing.add_done_callback(self._closing.discard)
        await asyncio.wait([closing])

    async def _in_thread(self, call: Callable[..., T], *args: object) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, call, *args)


@dataclass(frozen=True, slots=True)
class _Order:
    """One file that is wanted; `came` is told what came of it and how much is here."""

    file: RemoteFile
    owner: str
    headers: Mapping[str, str]
    rate: Rate
    came: Callable[[int, int], None]


def first_of(group: ExceptionGroup[Exception]) -> Exception:
    """Return what ended a group: the expected error if there is one, else the first of all."""
    if error := known(group):
        return error
    return _leaf(group)


def _leaf(error: Exception) -> Exception:
    if isinstance(error, ExceptionGroup):
        return _leaf(cast("ExceptionGroup[Exception]", error).exceptions[0])
    return error


def _done(folder: Path, files: Sequence[RemoteFile]) -> list[int]:
    return [parts.done_bytes(folder, each) for each in files]


def _remove_all(folder: Path, names: Sequence[str]) -> None:
    for name in names:
        parts.remove(folder, name)
