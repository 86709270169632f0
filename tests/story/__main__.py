"""`python -m tests.story --seeds 2000`: many histories; `--first 137 --seeds 1`: one again."""

import argparse
import asyncio
import sys
import tempfile
import time
from pathlib import Path

from tests.story.history import play
from tests.story.world import Forge, opened_forge

AT_ONCE = 4


async def play_all(
    first: int, count: int, folder: Path, *, at_once: int = AT_ONCE
) -> dict[int, list[str]]:
    """Play that many seeds; return the faults of each that has any."""
    faults: dict[int, list[str]] = {}
    seeds = iter(range(first, first + count))

    async def lane(forge: Forge) -> None:
        for seed in seeds:
            if found := await play(seed, folder / str(seed), forge):
                faults[seed] = found

    async with opened_forge() as forge, asyncio.TaskGroup() as tasks:
        for _ in range(at_once):
            tasks.create_task(lane(forge))
    return faults


def report(faults: dict[int, list[str]]) -> str:
    """Return the faults for people, each with the command that plays its seed again."""
    return "\n".join(
        f"python -m tests.story --first {seed} --seeds 1\n  " + "\n  ".join(found)
        for seed, found in sorted(faults.items())
    )


def main() -> None:
    """Play what the command line asks for."""
    parser = argparse.ArgumentParser(prog="python -m tests.story", description=__doc__)
    parser.add_argument("--seeds", type=int, default=200, help="how many")
    parser.add_argument("--first", type=int, default=0, help="the first one")
    parser.add_argument("--at-once", type=int, default=AT_ONCE, help="side by side")
    asked = parser.parse_args()
    begin = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="story") as folder:
        faults = asyncio.run(
            play_all(asked.first, asked.seeds, Path(folder), at_once=asked.at_once)
        )
    took_s = time.monotonic() - begin
    sys.stdout.write(
        f"{report(faults)}\n{asked.seeds} histories, {len(faults)} with faults, {took_s:.0f} s\n"
    )
    sys.exit(1 if faults else 0)


if __name__ == "__main__":
    main()
