"""Whatever the source does wrong on the way, a hive's model is verified or absent."""

from pathlib import Path
from typing import Any

import pytest

from tests.hub.faults import Kind
from tests.hub.hub import Hub
from tests.torture.invariants import TOKEN
from tests.torture.repos import READY, WEIGHTS, ready, sent, settings, size_of
from tests.torture.torture import tortured
from tests.transfers import PIECE_BYTES

SIZE_BYTES = 24 * PIECE_BYTES + 777
FILES = ready(SIZE_BYTES)
OF_WEIGHTS = f"{READY}/{WEIGHTS}"
SMALL = f"{READY}/tokenizer.json"


@pytest.mark.parametrize(
    "fault",
    [
        {"kind": Kind.STALL, "after_bytes": 30_000, "count": 2},
        {"kind": Kind.TRUNCATE, "after_bytes": 30_000, "count": 7},
        {"kind": Kind.RESET, "after_bytes": 30_000, "count": 7},
        {"kind": Kind.RESET, "after_bytes": -1, "count": 5},
        {"kind": Kind.NO_RANGE},
        {"kind": Kind.NO_RANGE, "skip": 5, "count": 3},
        {"kind": Kind.OTHER_RANGE, "count": 4},
        {"kind": Kind.FLIP, "offset": 5, "count": 1},
        {"kind": Kind.FLIP, "offset": SIZE_BYTES - 1, "count": 24},
        {"kind": Kind.STATUS, "status": 500, "count": 4},
        {"kind": Kind.STATUS, "status": 503, "retry_after": "0", "count": 4},
        {"kind": Kind.STATUS, "status": 429, "retry_after": "1", "count": 1},
        {"kind": Kind.EXPIRED, "where": "cdn", "skip": 3, "count": 3},
    ],
    ids=lambda fault: "-".join(str(each) for each in fault.values()),
)
async def test_a_fault_that_ends_leaves_a_whole_model(
    tmp_path: Path, hub: Hub, fault: dict[str, Any]
) -> None:
    hub.put(READY, FILES)
    reached = hub.faults.add(pattern=OF_WEIGHTS, **fault).reached
    async with tortured(tmp_path / "home", hub) as torture:
        done = await torture.pull()
        assert reached.is_set()
        assert done.model.size_bytes == size_of(FILES)
        assert torture.jobs[0].fetched[-1] == size_of(FILES)
        again = await torture.pull()
        assert again.was_present


@pytest.mark.parametrize(
    ("pattern", "fault", "reason"),
    [
        (OF_WEIGHTS, {"kind": Kind.FLIP, "offset": 9}, "HASH_MISMATCH"),
        (SMALL, {"kind": Kind.FLIP, "offset": 1}, "HASH_MISMATCH"),
        (OF_WEIGHTS, {"kind": Kind.OTHER_TOTAL, "skip": 6}, "LENGTH_MISMATCH"),
        (OF_WEIGHTS, {"kind": Kind.OTHER_TOTAL, "by_bytes": -5, "skip": 6}, "LENGTH_MISMATCH"),
        (OF_WEIGHTS, {"kind": Kind.STALL, "skip": 6}, "SOURCE_UNREACHABLE"),
        (OF_WEIGHTS, {"kind": Kind.TRUNCATE, "skip": 6}, "SOURCE_UNREACHABLE"),
        (OF_WEIGHTS, {"kind": Kind.STATUS, "status": 404, "skip": 6}, "SOURCE_UNREACHABLE"),
        (SMALL, {"kind": Kind.STATUS, "status": 404}, "MODEL_SOURCE_NOT_FOUND"),
        (SMALL, {"kind": Kind.STATUS, "status": 401}, "SOURCE_UNAUTHORIZED"),
        (SMALL, {"kind": Kind.STATUS, "status": 403, "code": "GatedRepo"}, "SOURCE_GATED"),
        (
            OF_WEIGHTS,
            {"kind": Kind.STATUS, "status": 429, "retry_after": "0", "skip": 6},
            "SOURCE_RATE_LIMITED",
        ),
        (
            OF_WEIGHTS,
            {"kind": Kind.STATUS, "status": 503, "retry_after": "0", "skip": 6},
            "SOURCE_UNREACHABLE",
        ),
        (f"{OF_WEIGHTS}*", {"kind": Kind.REDIRECT_LOOP, "where": "hub"}, "SOURCE_REDIRECTS"),
        (SMALL, {"kind": Kind.REDIRECT, "location": "file:///etc/passwd"}, "SOURCE_REDIRECTS"),
    ],
)
async def test_a_fault_that_stays_leaves_no_model_and_the_next_pull_goes_on(
    tmp_path: Path, hub: Hub, pattern: str, fault: dict[str, Any], reason: str
) -> None:
    hub.put(READY, FILES)
    terms: dict[str, Any] = {"where": "cdn" if pattern == OF_WEIGHTS else "hub", **fault}
    hub.faults.add(pattern=pattern, **terms)
    async with tortured(tmp_path / "home", hub) as torture:
        error = await torture.refused()
        assert (error.reason, bool(error.hint)) == (reason, True)
        await torture.settled()
        assert torture.folders() == []
        torture.check()
        hub.faults.clear()
        before = sent(hub, READY)
        await torture.pull()
        first, second = torture.jobs
        assert sent(hub, READY) - before == size_of(FILES) - second.fetched[0]
        if reason != "HASH_MISMATCH":  # what was wrong had to go
            assert second.fetched[0] >= first.fetched[-1]


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ({"status": 401}, "SOURCE_UNAUTHORIZED"),
        ({"status": 403, "code": "GatedRepo"}, "SOURCE_GATED"),
        ({"status": 404, "code": "RepoNotFound"}, "MODEL_SOURCE_NOT_FOUND"),
        ({"status": 429, "retry_after": "1"}, "SOURCE_RATE_LIMITED"),
        ({"status": 503, "retry_after": "1"}, "SOURCE_UNAVAILABLE"),
    ],
)
async def test_a_hub_that_does_not_tell_of_a_model_is_told_as_such(
    tmp_path: Path, hub: Hub, fault: dict[str, Any], reason: str
) -> None:
    hub.put(READY, FILES)
    hub.faults.add(Kind.STATUS, f"api/{READY}", **fault)
    async with tortured(tmp_path / "home", hub) as torture:
        error = await torture.refused()
        assert (error.reason, bool(error.hint)) == (reason, True)
        assert (torture.folders(), torture.parts()) == ([], set())


async def test_what_is_here_is_taken_when_the_hub_cannot_be_asked(tmp_path: Path, hub: Hub) -> None:
    hub.put(READY, FILES)
    async with tortured(tmp_path / "home", hub) as torture:
        await torture.pull()
        hub.faults.add(Kind.STATUS, f"api/{READY}", status=503)
        assert (await torture.pull()).was_present
        assert any("cannot be asked" in human for human in torture.jobs[1].humans)


async def test_a_gated_model_comes_for_who_was_let_in_and_the_token_follows_no_redirect(
    tmp_path: Path, hub: Hub
) -> None:
    hub.put(READY, FILES)
    settings(hub, READY, gated="manual")
    async with tortured(tmp_path / "home", hub) as torture:
        error = await torture.refused()
        assert error.reason == "SOURCE_GATED"
        assert f"{hub.endpoint}/{READY}" in error.hint
        settings(hub, READY, gated="manual", granted=[TOKEN])
        await torture.pull()
    shown = {(each.where, each.token) for each in hub.requests}
    assert shown == {("hub", f"Bearer {TOKEN}"), ("cdn", "")}
