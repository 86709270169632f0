"""One file into one part: connections that take piece after piece, and a hash that follows them."""

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager
from dataclasses import dataclass, field
from random import SystemRandom

import httpx2

from rbee_hive.transfer import failures
from rbee_hive.transfer.backoff import wait_s
from rbee_hive.transfer.connection import Answer, BrokenError, Route, asked
from rbee_hive.transfer.hashing import Following
from rbee_hive.transfer.parts import Part
from rbee_hive.transfer.policy import PIECES_A_LANE, Policy
from rbee_hive.transfer.rate import Rate
from rbee_hive.transfer.spans import Span, pieces

CHANCE = SystemRandom()
RATE_LOOK_S = 0.1  # a rate that has changed is noticed after so long


@dataclass(frozen=True, slots=True)
class Means:
    """What the downloads of a fetcher share.

    Attributes:
        client: sends requests.
        policy: the limits.
        in_thread: calls what blocks.
        closed: closes something in a thread, even if whoever waits for that is cancelled.
        slot: a connection, for the block, to the source of a URL.
    """

    client: httpx2.AsyncClient
    policy: Policy
    in_thread: Callable[..., Awaitable[object]]
    closed: Callable[[Callable[[], None]], Awaitable[None]]
    slot: Callable[[str], AbstractAsyncContextManager[None]]


@dataclass(slots=True)
class Download:
    """One file on its way. `came` is called with how many bytes were just written down."""

    means: Means
    part: Part
    route: Route
    rate: Rate
    came: Callable[[int], None]
    _is_ranged: bool = True
    _moved: asyncio.Event = field(default_factory=asyncio.Event)

    async def run(self) -> str:
        """Fetch what is missing, and return the SHA-256 of a file that has its hash.

        With the wrong one it is fetched once more, from nothing.

        Raises:
            RbeeError: the bytes cannot be had, or have the wrong hash again: nothing is left then.
            OSError: the disk cannot take them.
        """
        for is_last in (False, True):
            async with self._following() as hashed:
                await self._fill(hashed)
            if hashed.is_right:
                return hashed.sha256
            await self.means.in_thread(self.part.remove if is_last else self.part.restart)
        file = self.part.file
        raise failures.other_hash(file.path, wanted=file.name, found=hashed.found)

    async def _fill(self, hashed: Following) -> None:
        policy, size_bytes = self.means.policy, self.part.file.size_bytes
        missing = self.part.spans.gaps(0, size_bytes)
        lane_count = min(policy.host_connections_max, -(-size_bytes // policy.piece_bytes))
        even = size_bytes // max(1, lane_count * PIECES_A_LANE)
        todo = pieces(list(missing), min(max(even, policy.piece_bytes), policy.piece_bytes_max))
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._follow(hashed))
            async with asyncio.TaskGroup() as lanes:
                for _ in range(lane_count):
                    lanes.create_task(self._lane(todo))
            if not self._is_ranged:
                await self._get((0, size_bytes))

    @asynccontextmanager
    async def _following(self) -> AsyncGenerator[Following]:
        hashed = Following(self.part.path, self.part.file)
        try:
            yield hashed
        finally:
            hashed.stop()
            await self.means.closed(hashed.close)

    async def _follow(self, hashed: Following) -> None:
        while hashed.done_bytes < self.part.file.size_bytes:
            self._moved.clear()
            if hashed.done_bytes == (front := self.part.spans.front):
                await self._moved.wait()
            else:
                await self.means.in_thread(hashed.follow, front)

    async def _lane(self, todo: Iterator[Span]) -> None:
        while self._is_ranged and (piece := next(todo, None)):
            await self._get(piece)

    async def _get(self, span: Span) -> None:
        in_a_row = 0
        is_ranged = self._is_ranged
        while (gap := self.part.spans.gap(*span)) and is_ranged == self._is_ranged:
            broken = await self._tried(gap)
            if broken is None:
                in_a_row = 0
                continue
            is_further = self.part.spans.gap(*span) != gap
            in_a_row = 1 if is_further else in_a_row + 1
            if in_a_row > self.means.policy.retries_max:
                raise broken.error
            chance = CHANCE.random()  # so that not all come back together
            await asyncio.sleep(
                wait_s(in_a_row, self.means.policy.retry_s, chance, after_s=broken.after_s)
            )

    async def _tried(self, gap: Span) -> BrokenError | None:
        file = self.part.file
        try:
            async with (
                self.means.slot(file.url),
                asked(self.means.client, self.route, gap, self.means.policy) as answer,
            ):
                is_all = gap == (0, file.size_bytes)
                if answer.take.is_whole and self._is_ranged and not is_all:
                    self._is_ranged = False  # all lanes would get the same bytes
                    return None
                await self._take(answer, file.size_bytes if answer.take.is_whole else gap[1])
        except BrokenError as broken:
            return broken
        if self.part.spans.gap(*gap) == gap:
            return BrokenError(failures.unreachable(file.path, "the answer was empty"))
        return None

    async def _take(self, answer: Answer, until: int) -> None:
        held = Held(answer.take.begin)
        policy = self.means.policy
        try:
            async with aclosing(answer.chunks()) as chunks:
                async for chunk in chunks:
                    held.add(chunk[: until - held.end])
                    if held.size_bytes >= policy.block_bytes or held.age_s >= policy.block_s:
                        held = await self._written(held)
                    await self._wait_for_rate(len(chunk))
        except BrokenError:
            await self._written(held)
            raise
        await self._written(held)

    async def _written(self, held: "Held") -> "Held":
        # what is there is never written again: it may be hashed already
        for begin, end in list(self.part.spans.gaps(held.begin, held.end)):
            await self.means.in_thread(self.part.write, begin, held.between(begin, end))
            self.part.spans.add(begin, end)
            self._moved.set()
            self.came(end - begin)
        return Held(held.end)

    async def _wait_for_rate(self, size_bytes: int) -> None:
        self.rate.take(size_bytes)
        longest_s = self.rate.wait_s()
        while longest_s > 0:
            await asyncio.sleep(min(longest_s, RATE_LOOK_S))
            longest_s = self.rate.wait_s()


class Held:
    """Bytes that came and are not written yet."""

    def __init__(self, begin: int) -> None:
        self.begin = self.end = begin
        self._blocks: list[bytes] = []
        self._since_s = time.monotonic()

    @property
    def size_bytes(self) -> int:
        """How many they are."""
        return self.end - self.begin

    def add(self, chunk: bytes) -> None:
        """Hold the next bytes."""
        self._blocks.append(chunk)
        self.end += len(chunk)

    @property
    def age_s(self) -> float:
        """How long the oldest may have been here."""
        return time.monotonic() - self._since_s

    def between(self, begin: int, end: int) -> list[bytes]:
        """Return the bytes of a range."""
        if (begin, end) == (self.begin, self.end):
            return self._blocks
        return [b"".join(self._blocks)[begin - self.begin : end - self.begin]]
