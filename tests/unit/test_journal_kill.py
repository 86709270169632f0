"""What a watcher saw is in the file, whenever the process was killed."""

import random
import subprocess
import sys
from pathlib import Path

import pytest

from rbee_queen.journal.schema import opened
from rbee_queen.journal.store import Store
from rbee_shared.jobs.log import JobLog
from tests.journals import Events, read, text_of

ROOT = Path(__file__).parents[2]
JOBS = 3


def printed_until_killed(file: Path, lines: int) -> list[str]:
    """Let a process write the journal, kill it after so many lines, and return all of them."""
    command = [sys.executable, "tests/journal_writer.py", str(file)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        assert process.stdout is not None
        found = [process.stdout.readline() for _ in range(lines)]
        process.kill()
        found += process.stdout.readlines()
    return [line for line in found if line.endswith("\n")]


@pytest.mark.parametrize("seed", range(6))
async def test_what_watchers_of_a_killed_process_saw_is_in_the_file(
    tmp_path: Path, seed: int
) -> None:
    file = tmp_path / "j"
    lines = printed_until_killed(file, random.Random(seed).choice([1, 4, 20, 200, 1_000]))
    store = Store(opened(file))
    rows = {row.job.id: row for row in store.jobs()}
    assert lines
    for number in range(1, JOBS + 1):
        own = [line.rstrip("\n").split(" ", 2) for line in lines if line.startswith(f"j-{number}")]
        if not own:
            continue
        seen, cursor = "".join(text for _, _, text in own), int(own[-1][1])
        row = rows[f"j-{number}"]
        story: Events = []
        while page := store.events(row.number, story[-1].sequence if story else 0):
            story += page
        assert cursor <= row.last_sequence == story[-1].sequence
        assert text_of(story).startswith(seen)
        rest = text_of(read(JobLog(events=story), cursor))
        numbers = [int(each) for each in (seen + rest).split()]
        assert numbers == list(range(len(numbers)))
    store.close()
