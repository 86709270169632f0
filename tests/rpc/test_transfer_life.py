"""The life of a transfer: cancelled, shared, limited, out of room, gone on with, cleaned up."""

import asyncio
import errno
import os
import resource
import time
from collections.abc import Generator
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from rbee_hive.transfer.fetcher import opened_fetcher
from rbee_hive.transfer.parts import Part, PartBusyError, done_bytes
from rbee_hive.transfer.progress import TransferProgress
from rbee_hive.transfer.rate import Rate
from rbee_shared.errors import NotFoundError, ResourceExhaustedError
from tests.hub.faults import Kind
from tests.hub.hub import Hub
from tests.hub.serve import serving_hub
from tests.transfers import PIECE_BYTES, QUICK, REPO, Told, fetched, names_in, remote

DATA = os.urandom(8 * PIECE_BYTES)
PATH = "m.gguf"


@pytest.fixture
def hub(tmp_path: Path) -> Generator[Hub]:
    with serving_hub(tmp_path / "hub") as served:
        served.put(REPO, {PATH: DATA})
        yield served


@pytest.fixture
def parts(tmp_path: Path) -> Path:
    return tmp_path / "parts"


async def test_a_cancel_stops_at_once_and_leaves_what_the_next_one_goes_on_with(
    hub: Hub, parts: Path
) -> None:
    stall = hub.faults.add(Kind.STALL, after_bytes=30_000, skip=4)
    file = remote(hub, PATH)
    told = Told()
    patient = replace(QUICK, stall_s=60.0)
    descriptors = psutil.Process().num_fds()
    async with opened_fetcher(parts, policy=patient) as fetcher:
        async with asyncio.TaskGroup() as tasks:
            task = tasks.create_task(fetched(fetcher, [file], told=told))
            assert await asyncio.to_thread(stall.reached.wait, 10)
            began = time.monotonic()
            task.cancel()
        assert time.monotonic() - began < 0.5
        assert task.cancelled()
        assert names_in(parts) == {f"{file.name}.part", f"{file.name}.state"}
        assert done_bytes(parts, file) >= told.all[-1].done_bytes
        hub.faults.clear()
        again = Told()
        (blob,) = await fetched(fetcher, [file], told=again)
        assert blob.file.read_bytes() == DATA
        assert again.all[0].done_bytes >= told.all[-1].done_bytes
    assert psutil.Process().num_fds() <= descriptors + 2  # the hub's own, closed when it sees it


async def test_that_nothing_comes_is_told(hub: Hub, parts: Path) -> None:
    stall = hub.faults.add(Kind.STALL, after_bytes=10_000, skip=4)
    told = Told()
    policy = replace(QUICK, stall_s=60.0, tell_interval_s_max=0.02)
    async with opened_fetcher(parts, policy=policy) as fetcher, asyncio.TaskGroup() as tasks:
        task = tasks.create_task(fetched(fetcher, [remote(hub, PATH)], told=told))
        assert await asyncio.to_thread(stall.reached.wait, 10)
        async with asyncio.timeout(10):
            while len(told.all) < 3 or told.all[-1].done_bytes != told.all[-3].done_bytes:
                await asyncio.wait([task], timeout=policy.tell_interval_s_max)
        task.cancel()
    assert told.all[-1].bytes_per_s < told.all[-3].bytes_per_s


async def test_two_who_want_one_content_fetch_it_once(hub: Hub, parts: Path) -> None:
    file = remote(hub, PATH)
    other = replace(file, path="other.gguf")
    async with opened_fetcher(parts, policy=QUICK) as fetcher:
        async with asyncio.TaskGroup() as tasks:
            first = tasks.create_task(fetched(fetcher, [file]))
            second = tasks.create_task(fetched(fetcher, [other, file]))
        blobs = [*first.result(), *second.result()]
        assert [each.path for each in blobs] == [PATH, "other.gguf", PATH]
        assert sum(each.is_fresh for each in blobs) == 1
        assert sum(each.where == "cdn" for each in hub.requests) == 8
        await fetcher.release(first.result())
        assert blobs[0].file.exists()
        await fetcher.release(second.result())
        assert names_in(parts) == set()


async def test_one_who_leaves_does_not_stop_the_other(hub: Hub, parts: Path) -> None:
    stall = hub.faults.add(Kind.STALL, after_bytes=30_000, skip=4, count=4)
    file = remote(hub, PATH)
    async with (
        opened_fetcher(parts, policy=replace(QUICK, stall_s=60.0)) as fetcher,
        asyncio.TaskGroup() as tasks,
    ):
        first = tasks.create_task(fetched(fetcher, [file]))
        second = tasks.create_task(fetched(fetcher, [file]))
        assert await asyncio.to_thread(stall.reached.wait, 10)
        first.cancel()
        await asyncio.wait([first])
        hub.faults.clear()
        (blob,) = await second
        assert blob.file.read_bytes() == DATA


async def test_another_process_is_waited_for(hub: Hub, parts: Path) -> None:
    parts.mkdir()  # noqa: ASYNC240 - a moment
    file = remote(hub, PATH)
    held = Part(parts, file, "other")
    held.open()
    with pytest.raises(PartBusyError):
        Part(parts, file, "third").open()
    async with opened_fetcher(parts, policy=QUICK) as fetcher, asyncio.TaskGroup() as tasks:
        waiting = tasks.create_task(fetched(fetcher, [file]))
        await asyncio.wait([waiting], timeout=5 * QUICK.lock_interval_s)
        assert not waiting.done()
        assert hub.requests == []
        held.close()
        (blob,) = await waiting
        assert blob.file.read_bytes() == DATA


async def test_a_whole_file_of_an_earlier_process_is_hashed_before_it_is_given(
    hub: Hub, parts: Path
) -> None:
    file = remote(hub, PATH)
    async with opened_fetcher(parts, policy=QUICK) as fetcher:
        (blob,) = await fetched(fetcher, [file])
    count = len(hub.requests)
    async with opened_fetcher(parts, policy=QUICK) as fetcher:
        (again,) = await fetched(fetcher, [file])
        assert (again.is_fresh, again.sha256, len(hub.requests)) == (False, file.sha256, count)
    blob.file.write_bytes(b"x" * len(DATA))
    async with opened_fetcher(parts, policy=QUICK) as fetcher:
        (anew,) = await fetched(fetcher, [file])
        assert anew.is_fresh
        assert anew.file.read_bytes() == DATA


async def test_a_newer_revision_with_the_same_content_goes_on_with_the_part(
    hub: Hub, parts: Path
) -> None:
    hub.faults.add(Kind.STATUS, status=404, skip=6)
    async with opened_fetcher(parts, policy=QUICK) as fetcher:
        with pytest.raises(NotFoundError):
            await fetched(fetcher, [remote(hub, PATH)])
        before = done_bytes(parts, remote(hub, PATH))
        hub.faults.clear()
        hub.put(REPO, {"readme.md": b"another commit"})
        told = Told()
        (blob,) = await fetched(fetcher, [remote(hub, PATH)], told=told)
        assert blob.file.read_bytes() == DATA
        assert told.all[0].done_bytes == before > 0


async def test_room_is_asked_for_before_the_first_byte(hub: Hub, parts: Path) -> None:
    asked: list[int] = []

    def no_room(needed_bytes: int) -> None:
        asked.append(needed_bytes)
        raise ResourceExhaustedError("no room", reason="DISK_FULL")

    async with opened_fetcher(parts, policy=QUICK) as fetcher:
        with pytest.raises(ResourceExhaustedError):
            await fetched(fetcher, [remote(hub, PATH)], check_room=no_room)
    assert (asked, hub.requests) == ([len(DATA)], [])


async def test_a_disk_that_cannot_take_a_block_ends_it_with_the_systems_error(
    hub: Hub, parts: Path
) -> None:
    file = remote(hub, PATH)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(DATA) - 1, limits[1]))
    try:
        async with opened_fetcher(parts, policy=QUICK) as fetcher:
            with pytest.raises(OSError, match="too large") as caught:
                await fetched(fetcher, [file])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert caught.value.errno == errno.EFBIG


async def test_a_rate_holds_and_can_be_lifted_on_the_way(hub: Hub, parts: Path) -> None:
    hub.put(REPO, {"large.gguf": DATA * 4})
    rate = Rate(2_000_000)
    lifted_at: list[int] = []

    def told(progress: TransferProgress) -> None:
        if progress.done_bytes > 1_000_000 and not lifted_at:
            lifted_at.append(progress.done_bytes)
            rate.set(0)

    began = time.monotonic()
    async with opened_fetcher(parts, policy=QUICK) as fetcher:
        await fetched(fetcher, [remote(hub, "large.gguf")], rate=rate, told=told)
    took_s = time.monotonic() - began
    assert lifted_at
    assert 0.25 < took_s < len(DATA) * 4 / 2_000_000 * 0.9


async def test_hundreds_of_files_are_told_as_one(hub: Hub, parts: Path) -> None:
    data = {f"sub/{each}.json": b"%d" % each * 50 for each in range(300)}
    revision = hub.put(REPO, data)
    files = [remote(hub, each, revision) for each in data]
    told = Told()
    async with opened_fetcher(parts, policy=QUICK) as fetcher:
        blobs = await fetched(fetcher, files, told=told)
        assert {each.path: each.file.read_bytes() for each in blobs} == data
        assert max(len(each.files) for each in told.all) <= QUICK.files_open_max
        await fetcher.release(blobs)
    assert names_in(parts) == set()
    assert told.all[-1].files_done == 300


async def test_leftovers_are_those_that_nobody_fetches(hub: Hub, parts: Path) -> None:
    hub.faults.add(Kind.STATUS, status=404, skip=4)
    file = remote(hub, PATH)
    async with opened_fetcher(parts, policy=QUICK) as fetcher:
        with pytest.raises(NotFoundError):
            await fetched(fetcher, [file], owner="hf:a/b")
        (left,) = await fetcher.leftovers(0.0)
        assert (left.name, left.owner) == (file.name, "hf:a/b")
        assert left.size_bytes >= done_bytes(parts, file)
        assert await fetcher.leftovers(3600.0) == ()
        await fetcher.discard("somebody else")
        assert [each.name for each in await fetcher.leftovers(0.0)] == [file.name]
        await fetcher.discard("hf:a/b")
    assert names_in(parts) == set()
