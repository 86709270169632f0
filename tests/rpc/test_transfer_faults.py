"""Whatever the hub does wrong: the bytes are right or absent, and the error says why."""

import hashlib
import os
import random
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest

from rbee_hive.transfer.fetcher import Fetcher, opened_fetcher
from rbee_hive.transfer.policy import REDIRECTS_MAX, Policy
from rbee_shared.errors import RbeeError
from tests.hub.faults import Kind
from tests.hub.hub import Hub
from tests.hub.serve import serving_hub
from tests.transfers import PIECE_BYTES, QUICK, REPO, Told, fetched, names_in, remote, sha256_of

DATA = os.urandom(10 * PIECE_BYTES + 777)
SHA256 = hashlib.sha256(DATA).hexdigest()
SMALL = b"{}" * 100
PATH = "m.gguf"
THROUGH_HTTP = replace(QUICK, direct_bytes_min=len(DATA))


@pytest.fixture
def hub(tmp_path: Path) -> Generator[Hub]:
    with serving_hub(tmp_path / "hub") as served:
        served.put(REPO, {PATH: DATA, "config.json": SMALL, "empty.txt": b""})
        yield served


@pytest.fixture
def parts(tmp_path: Path) -> Path:
    return tmp_path / "parts"


@asynccontextmanager
async def opened(parts: Path, policy: Policy = QUICK) -> AsyncGenerator[Fetcher]:
    async with opened_fetcher(parts, policy=policy) as fetcher:
        yield fetcher


async def check_whole(hub: Hub, parts: Path, policy: Policy = QUICK) -> Told:
    """Fetch the file, and check all that must hold of it."""
    told = Told()
    async with opened(parts, policy) as fetcher:
        (blob,) = await fetched(fetcher, [remote(hub, PATH)], told=told)
        assert (blob.sha256, blob.size_bytes, blob.is_fresh) == (SHA256, len(DATA), True)
        assert sha256_of(blob.file) == SHA256
        await fetcher.release([blob])
    assert names_in(parts) == set()
    last = told.all[-1]
    assert (last.done_bytes, last.files_done) == (len(DATA), 1)
    return told


async def failure(hub: Hub, parts: Path, **terms: Any) -> RbeeError:
    async with opened(parts) as fetcher:
        with pytest.raises(RbeeError) as caught:
            await fetched(fetcher, [remote(hub, PATH)], **terms)
    assert not (parts / SHA256).exists()
    return caught.value


async def test_files_of_every_kind_come_whole(hub: Hub, parts: Path) -> None:
    told = Told()
    files = [remote(hub, each) for each in (PATH, "config.json", "empty.txt")]
    async with opened(parts) as fetcher:
        blobs = await fetched(fetcher, files, told=told)
        assert [each.path for each in blobs] == [PATH, "config.json", "empty.txt"]
        assert [each.file.read_bytes() for each in blobs] == [DATA, SMALL, b""]
        hashes = [hashlib.sha256(each).hexdigest() for each in (DATA, SMALL, b"")]
        assert [each.sha256 for each in blobs] == hashes
    assert told.all[0].done_bytes == 0
    assert told.all[-1].files_done == 3
    assert not any("empty" in each.path for each in hub.requests)


@pytest.mark.parametrize("policy", [QUICK, THROUGH_HTTP], ids=["direct", "through-http"])
@pytest.mark.parametrize(
    "fault",
    [
        {"kind": Kind.TRUNCATE, "after_bytes": 30_000, "count": 7},
        {"kind": Kind.TRUNCATE, "after_bytes": 0, "count": 3},
        {"kind": Kind.RESET, "after_bytes": 30_000, "count": 7},
        {"kind": Kind.RESET, "after_bytes": -1, "count": 5},
        {"kind": Kind.STALL, "after_bytes": 30_000, "count": 2},
        {"kind": Kind.OTHER_RANGE, "count": 4},
        {"kind": Kind.STATUS, "status": 500, "count": 4},
        {"kind": Kind.STATUS, "status": 503, "retry_after": "0", "count": 4},
        {"kind": Kind.EXPIRED, "where": "cdn", "skip": 3, "count": 3},
        {"kind": Kind.STATUS, "status": 404, "where": "cdn", "skip": 2, "count": 1},
        {"kind": Kind.NO_RANGE},
        {"kind": Kind.NO_RANGE, "skip": 2, "count": 2},
        {"kind": Kind.FLIP, "offset": 0, "count": 1},
        {"kind": Kind.FLIP, "offset": len(DATA) - 1, "skip": 1, "count": 10},
    ],
    ids=lambda fault: "-".join(str(each) for each in fault.values()),
)
async def test_a_fault_that_ends_leaves_no_trace(
    hub: Hub, parts: Path, fault: dict[str, Any], policy: Policy
) -> None:
    hub.faults.add(**fault)
    await check_whole(hub, parts, policy)


@pytest.mark.parametrize("seed", range(12))
async def test_a_storm_of_faults_is_gone_through(hub: Hub, parts: Path, seed: int) -> None:
    chance = random.Random(seed)
    for _ in range(6):
        kind = chance.choice(
            [Kind.TRUNCATE, Kind.RESET, Kind.STALL, Kind.NO_RANGE, Kind.OTHER_RANGE, Kind.EXPIRED]
        )
        hub.faults.add(
            kind,
            where="cdn",
            skip=chance.randrange(6),
            count=chance.randrange(1, 4),
            after_bytes=chance.randrange(PIECE_BYTES),
        )
    hub.faults.add(
        Kind.FLIP, skip=chance.randrange(12), count=1, offset=chance.randrange(len(DATA))
    )
    await check_whole(hub, parts, replace(QUICK, stall_s=0.1, retries_max=20))


async def test_a_whole_answer_that_breaks_is_gone_on_with_and_written_once(
    hub: Hub, parts: Path
) -> None:
    hub.faults.add(Kind.TRUNCATE, after_bytes=100_000, count=6)
    hub.faults.add(Kind.NO_RANGE)
    told = await check_whole(hub, parts)
    assert len(told.all) > 5


async def test_a_source_that_always_breaks_is_unreachable_and_the_part_stays(
    hub: Hub, parts: Path
) -> None:
    hub.faults.add(Kind.RESET, after_bytes=0, skip=8, where="cdn")
    told = Told()
    error = await failure(hub, parts, told=told)
    assert error.reason == "SOURCE_UNREACHABLE"
    assert names_in(parts) == {f"{SHA256}.part", f"{SHA256}.state"}
    hub.faults.clear()
    again = await check_whole(hub, parts)
    assert again.all[0].done_bytes >= told.all[-1].done_bytes > 0


async def test_nothing_listens(hub: Hub, parts: Path) -> None:
    file = replace(remote(hub, PATH), url="http://127.0.0.1:1/x")
    async with opened(parts) as fetcher:
        with pytest.raises(RbeeError, match="cannot be connected to") as caught:
            await fetched(fetcher, [file])
    assert caught.value.reason == "SOURCE_UNREACHABLE"


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ({"kind": Kind.STATUS, "status": 404, "code": "EntryNotFound"}, "MODEL_SOURCE_NOT_FOUND"),
        ({"kind": Kind.STATUS, "status": 401}, "SOURCE_UNAUTHORIZED"),
        ({"kind": Kind.STATUS, "status": 403}, "SOURCE_UNAUTHORIZED"),
        ({"kind": Kind.STATUS, "status": 403, "code": "GatedRepo"}, "SOURCE_GATED"),
        ({"kind": Kind.STATUS, "status": 400}, "SOURCE_REFUSED"),
        ({"kind": Kind.REDIRECT_LOOP}, "SOURCE_REDIRECTS"),
        ({"kind": Kind.REDIRECT, "location": "file:///etc/passwd"}, "SOURCE_REDIRECTS"),
        ({"kind": Kind.OTHER_TOTAL}, "LENGTH_MISMATCH"),
        ({"kind": Kind.OTHER_TOTAL, "by_bytes": -5}, "LENGTH_MISMATCH"),
    ],
)
async def test_what_no_retry_makes_better_fails_at_once(
    hub: Hub, parts: Path, fault: dict[str, Any], reason: str
) -> None:
    hub.faults.add(**fault)
    error = await failure(hub, parts)
    assert error.reason == reason
    assert len(hub.requests) <= (REDIRECTS_MAX + 1) * QUICK.host_connections_max


@pytest.mark.parametrize("status", [429, 503])
async def test_a_source_that_never_has_time_is_asked_seven_times_by_each_connection(
    hub: Hub, parts: Path, status: int
) -> None:
    hub.faults.add(Kind.STATUS, status=status, retry_after="0")
    error = await failure(hub, parts)
    assert error.reason == {429: "SOURCE_RATE_LIMITED", 503: "SOURCE_UNREACHABLE"}[status]
    tries = QUICK.retries_max + 1
    assert tries <= len(hub.requests) <= tries * QUICK.host_connections_max


@pytest.mark.parametrize("form", ["seconds", "date"])
async def test_a_retry_after_is_waited_for(hub: Hub, parts: Path, form: str) -> None:
    began = datetime.now(UTC)
    later = format_datetime(began + timedelta(seconds=2), usegmt=True)
    hub.faults.add(
        Kind.STATUS, status=429, retry_after={"seconds": "1", "date": later}[form], count=1
    )
    await check_whole(hub, parts)
    assert (datetime.now(UTC) - began).total_seconds() >= 0.95


async def test_a_wrong_hash_is_fetched_once_more_and_then_leaves_nothing(
    hub: Hub, parts: Path
) -> None:
    hub.faults.add(Kind.FLIP, offset=5)
    told = Told()
    error = await failure(hub, parts, told=told)
    assert error.reason == "HASH_MISMATCH"
    assert names_in(parts) == set()
    came = sum(each.where == "cdn" for each in hub.requests)
    assert came == 2 * -(-len(DATA) // PIECE_BYTES)


async def test_a_token_goes_to_its_origin_alone(hub: Hub, parts: Path) -> None:
    token = {"Authorization": "Bearer hf_squirrel"}
    async with opened(parts) as fetcher:
        await fetched(fetcher, [remote(hub, PATH), remote(hub, "config.json")], headers=token)
    shown = {(each.where, each.token) for each in hub.requests}
    assert shown == {("hub", "Bearer hf_squirrel"), ("cdn", "")}
