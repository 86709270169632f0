"""Several jobs want one model, and some of them leave: who stays has it, and nothing is lost."""

import asyncio
import time
from itertools import pairwise
from pathlib import Path

from tests.hub.faults import Kind
from tests.hub.hub import Hub
from tests.torture import invariants
from tests.torture.repos import GGUF, READY, WEIGHTS, ready, sent, size_of, tiny_gguf
from tests.torture.torture import reached, tortured
from tests.transfers import PIECE_BYTES

PIECES = 24
FILES = ready(PIECES * PIECE_BYTES)
OF_WEIGHTS = f"{READY}/{WEIGHTS}"
CANCEL_S_MAX = 1.0
ROUNDS = 25


async def test_two_pulls_share_one_transfer_and_hear_the_same(tmp_path: Path, hub: Hub) -> None:
    hub.put(READY, FILES)
    stalled = hub.faults.add(Kind.STALL, OF_WEIGHTS, where="cdn", skip=8, count=1)
    async with tortured(tmp_path / "home", hub) as torture:
        first = torture.start_pull()
        await reached(stalled.reached)
        second = torture.start_pull(f"hf:{READY}@main")
        await second.until(lambda: bool(second.fetched))
        stalled.released.set()
        models = [(await each.ended()).model_download.model for each in (first, second)]
        assert models[0] == models[1]
        assert sent(hub, READY) == size_of(FILES)
        assert first.humans[-1] == second.humans[-1]
        assert first.fetched[-1] == second.fetched[-1] == size_of(FILES)


async def test_one_of_two_leaves_and_the_other_has_the_model(tmp_path: Path, hub: Hub) -> None:
    hub.put(READY, FILES)
    stalled = hub.faults.add(Kind.STALL, OF_WEIGHTS, where="cdn", skip=8, count=1)
    async with tortured(tmp_path / "home", hub) as torture:
        first, second = torture.start_pull(), torture.start_pull()
        await reached(stalled.reached)
        await torture.cancel(first)
        stalled.released.set()
        await second.ended()
        assert sent(hub, READY) == size_of(FILES)


async def test_when_all_leave_it_stops_at_once_and_the_next_one_goes_on(
    tmp_path: Path, hub: Hub
) -> None:
    hub.put(READY, FILES)
    stalled = hub.faults.add(Kind.STALL, OF_WEIGHTS, where="cdn", skip=8)
    async with tortured(tmp_path / "home", hub) as torture:
        jobs = [torture.start_pull() for _ in range(2)]
        await reached(stalled.reached)
        began_s = time.monotonic()
        await torture.cancel(*jobs)
        await torture.settled()
        assert time.monotonic() - began_s < CANCEL_S_MAX
        assert torture.folders() == []
        torture.check()
        hub.faults.clear()
        before = sent(hub, READY)
        await torture.pull()
        invariants.check_goes_on(jobs[0].fetched, torture.jobs[-1].fetched)
        here = torture.jobs[-1].fetched[0]
        assert sent(hub, READY) - before == size_of(FILES) - here < size_of(FILES)


async def test_a_pull_that_is_cancelled_at_any_moment_leaves_only_what_the_next_one_uses(
    tmp_path: Path, hub: Hub
) -> None:
    hub.put(READY, FILES)
    async with tortured(tmp_path / "home", hub) as torture:
        for moment in range(ROUNDS):
            job = torture.start_pull()
            await job.until(lambda job=job, moment=moment: job.is_over or len(job.events) > moment)
            torture.runner.cancel(job.entry.id, "the test wants it")
            await job.until(lambda job=job: job.is_over)
            await torture.settled()
            invariants.check_closed(torture.models)
            invariants.check_models(torture.models)
            invariants.check_nothing_left(torture.models, parts=True)
            if torture.folders():
                break
        await torture.pull()
    transfers = [job.fetched for job in torture.jobs if job.fetched]
    for before, after in pairwise(transfers):
        invariants.check_goes_on(before, after)


async def test_a_cancel_during_conversion_leaves_the_source_to_the_next_pull(
    tmp_path: Path, hub: Hub
) -> None:
    files = tiny_gguf(tmp_path)
    hub.put(GGUF, files)
    async with tortured(tmp_path / "home", hub) as torture:
        job = torture.start_pull(GGUF)
        await job.until(lambda: any(human.startswith("converting") for human in job.humans))
        await torture.cancel(job)
        await torture.settled()
        assert torture.folders() == []
        done = await torture.pull(GGUF)
        assert sent(hub, GGUF) == size_of(files)
        assert done.model.converter


async def test_a_rate_that_is_asked_for_holds(tmp_path: Path, hub: Hub) -> None:
    hub.put(READY, FILES)
    rate_bytes_max = size_of(FILES)
    async with tortured(tmp_path / "home", hub) as torture:
        began_s = time.monotonic()
        await torture.pull(rate_bytes_max=rate_bytes_max)
        assert time.monotonic() - began_s > 0.5  # a second, less what may come at once


async def test_models_that_are_pulled_at_once_each_come_whole(tmp_path: Path, hub: Hub) -> None:
    repos = [f"org/ready-{number}" for number in range(3)]
    for number, repo in enumerate(repos):
        hub.put(repo, ready(PIECES * PIECE_BYTES, seed=bytes([number])))
    hub.faults.add(Kind.TRUNCATE, after_bytes=30_000, count=9, where="cdn")
    async with tortured(tmp_path / "home", hub) as torture, asyncio.TaskGroup() as tasks:
        for repo in repos:
            tasks.create_task(torture.pull(repo))
    assert len(torture.folders()) == len(repos)
