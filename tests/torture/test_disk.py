"""A disk without room: told before the first byte or on the way, and gone on with later."""

import os
import subprocess
from collections.abc import Generator
from pathlib import Path

import pytest

from rbee_hive.files.disk import RESERVE_BYTES
from rbee_shared.limits import MIB
from tests.hub.faults import Kind
from tests.hub.hub import Hub
from tests.torture.repos import READY, WEIGHTS, ready, sent, size_of
from tests.torture.torture import error_of, reached, tortured

FILES = ready(4 * MIB)
ROOM_BYTES = RESERVE_BYTES + 6 * MIB


@pytest.fixture
def small(tmp_path: Path) -> Generator[Path]:
    """A home whose models lie on a small disk of their own."""
    models = tmp_path / "home" / "models"
    models.mkdir(parents=True)
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={ROOM_BYTES}", "none", str(models)],  # noqa: S607
        capture_output=True,
        text=True,
        check=False,
    )
    if mounted.returncode:
        pytest.skip(f"no disk can be mounted here: {mounted.stderr.strip()}")
    yield models.parent
    subprocess.run(["umount", str(models)], check=True)  # noqa: S607


async def test_no_room_is_told_before_the_first_byte(small: Path, hub: Hub) -> None:
    hub.put(READY, FILES)
    ballast = small / "models" / ".ballast"
    ballast.write_bytes(bytes(3 * MIB))
    async with tortured(small, hub) as torture:
        error = await torture.refused()
        assert (error.reason, bool(error.hint)) == ("DISK_FULL", True)
        assert "5 MiB of disk, 67 MiB are free" in str(error)
        assert sent(hub, READY) == 0
        assert torture.folders() == []
        ballast.unlink()
        await torture.pull()


async def test_a_disk_that_runs_full_on_the_way_is_told_and_the_next_pull_goes_on(
    small: Path, hub: Hub
) -> None:
    hub.put(READY, FILES)
    stalled = hub.faults.add(Kind.STALL, f"{READY}/{WEIGHTS}", where="cdn", skip=8)
    ballast = small / "models" / ".ballast"
    async with tortured(small, hub) as torture:
        job = torture.start_pull()
        await reached(stalled.reached)
        fill(ballast)
        hub.faults.clear()
        error = await error_of(job)
        assert (error.reason, bool(error.hint)) == ("DISK_FULL", True)
        assert "ran full" in str(error)
        await torture.settled()
        assert torture.folders() == []
        ballast.unlink()
        torture.check()
        before = sent(hub, READY)
        await torture.pull()
        here = torture.jobs[-1].fetched[0]
        assert here >= job.fetched[-1]
        assert sent(hub, READY) - before == size_of(FILES) - here < size_of(FILES)


def fill(file: Path) -> None:
    """Take all that is free."""
    with file.open("wb") as opened:
        room = os.statvfs(file.parent)
        os.posix_fallocate(opened.fileno(), 0, room.f_bavail * room.f_frsize)
