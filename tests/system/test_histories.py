"""Random histories of jobs, watchers, cuts and kills; `--seeds N` plays more of them."""

from pathlib import Path

import pytest

from tests.story.__main__ import play_all, report

pytestmark = [pytest.mark.system, pytest.mark.timeout(1800)]


async def test_every_history_is_one_unbroken_story_for_each_job(
    tmp_path: Path, pytestconfig: pytest.Config
) -> None:
    seeds = int(pytestconfig.getoption("seeds") or 0)
    faults = await play_all(0, seeds, tmp_path)
    assert not faults, report(faults)
