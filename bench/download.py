"""`python -m bench.download`: how fast is a fetch next to curl of the same file, and what it costs.

One hub process serves a file of random bytes; curl, curl and then the hash, and rbee's own fetcher,
which hashes as it goes, take turns. Folders tell where the copies go: a disk and memory differ.
"""

import argparse
import asyncio
import hashlib
import os
import shutil
import sys
import tempfile
import time
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from bench.measure import MIB, memory, percentile
from rbee_hive.transfer.fetcher import opened_fetcher
from rbee_hive.transfer.file import RemoteFile
from rbee_hive.transfer.rate import Rate
from rbee_shared.lifecycle.daemon import new_event_loop

ROOT = Path(__file__).parents[1]
REPO = "bench/model"
TICK_S = 0.005
Copy = Callable[[Path], Coroutine[Any, Any, None]]


@dataclass(slots=True)
class Cost:
    """What the fetches cost besides time."""

    late_s: list[float] = field(default_factory=list[float])
    idle_late_s: list[float] = field(default_factory=list[float])  # while curl works
    extra_mib: list[float] = field(default_factory=list[float])


@asynccontextmanager
async def hub(folder: Path) -> AsyncGenerator[str]:
    """Run the test hub in a process of its own, and yield its endpoint."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.hub", str(folder)),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        cwd=ROOT,
    )
    assert process.stdout is not None
    try:
        yield (await process.stdout.readline()).decode().strip()
    finally:
        process.terminate()
        await process.communicate()


async def curl(url: str, target: Path) -> None:
    """Fetch as a user would without us."""
    command = ("curl", "--silent", "--fail", "--location", "--output", str(target), url)
    process = await asyncio.create_subprocess_exec(*command)
    assert await process.wait() == 0


def make(file: Path, size_bytes: int) -> str:
    """Write a file of random bytes, and return its SHA-256."""
    file.parent.mkdir(parents=True)
    with file.open("wb") as writer:
        for _ in range(size_bytes // MIB):
            writer.write(os.urandom(MIB))
    with file.open("rb") as reader:
        return hashlib.file_digest(reader, "sha256").hexdigest()


def check(file: Path, sha256: str) -> None:
    """Hash a file with what hashes fastest here."""
    with file.open("rb") as reader:
        assert hashlib.file_digest(reader, "sha256").hexdigest() == sha256


async def ticking(late_s: list[float]) -> None:
    """Note how late the event loop is, again and again."""
    while True:
        due_s = time.perf_counter() + TICK_S
        await asyncio.sleep(TICK_S)
        late_s.append(time.perf_counter() - due_s)


def copies(url: str, size_bytes: int, sha256: str, cost: Cost) -> dict[str, Copy]:
    """Return the ways to have the file, by name; each puts it below a folder."""
    file = RemoteFile("m.gguf", url, size_bytes, sha256=sha256)

    async def alone(folder: Path) -> None:
        async with asyncio.TaskGroup() as tasks:
            ticks = tasks.create_task(ticking(cost.idle_late_s))
            await curl(url, folder / "copy")
            ticks.cancel()

    async def hashed(folder: Path) -> None:
        await curl(url, folder / "copy")
        await asyncio.to_thread(check, folder / "copy", sha256)

    async def ours(folder: Path) -> None:
        async with memory() as found, asyncio.TaskGroup() as tasks:
            ticks = tasks.create_task(ticking(cost.late_s))
            async with opened_fetcher(folder / "parts") as fetcher:
                await fetcher.fetch(
                    [file],
                    owner="bench",
                    headers={},
                    rate=Rate(),
                    told=lambda _: None,
                    check_room=lambda _: None,
                )
            ticks.cancel()
        cost.extra_mib.append((found.peak - found.before) / MIB)

    async def summed(folder: Path) -> None:
        await curl(url, folder / "copy")
        command = ("sha256sum", str(folder / "copy"))
        process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
        assert (await process.communicate())[0].decode().startswith(sha256)

    return {
        "curl": alone,
        "curl, then OpenSSL's SHA-256": hashed,
        "curl, then sha256sum": summed,
        "rbee": ours,
    }


async def measure(url: str, file: Path, sha256: str, folder: Path, rounds: int) -> None:
    """Have the file in each way in turn, and print the medians."""
    cost = Cost()
    size_bytes = (await asyncio.to_thread(file.stat)).st_size
    took: dict[str, list[float]] = {}
    for number in range(rounds + 1):
        for name, copy in copies(url, size_bytes, sha256, cost).items():
            target = Path(tempfile.mkdtemp(prefix="download", dir=folder))
            began = time.perf_counter()
            await copy(target)
            passed_s = time.perf_counter() - began
            shutil.rmtree(target)
            if number:  # the first round warms up
                took.setdefault(name, []).append(size_bytes / passed_s / 1e6)
    print(f"{folder}: {size_bytes / 1e6:.0f} MB, {rounds} rounds")
    for name, speeds in took.items():
        print(f"  {name:28} {median(speeds):6.0f} MB/s ({min(speeds):.0f} to {max(speeds):.0f})")
    ours = median(took["rbee"])
    for name, speeds in list(took.items())[:-1]:
        print(f"  rbee by {name:28} {ours / median(speeds):.2f}x")
    print(f"  extra memory {max(cost.extra_mib):.0f} MiB")
    for name, late_s in (("rbee", cost.late_s), ("curl", cost.idle_late_s)):
        late_ms = [1000 * each for each in late_s]
        told = ", ".join(f"p{each} {percentile(late_ms, each):.1f}" for each in (50, 99))
        print(f"  event loop late with {name}: {told}, max {max(late_ms):.1f} ms")


async def run(size_bytes: int, rounds: int, folders: list[Path]) -> None:
    """Make the file, serve it, and measure each folder."""
    with tempfile.TemporaryDirectory(prefix="hub", dir=folders[0]) as root:
        file = Path(root, REPO, "m.gguf")
        sha256 = await asyncio.to_thread(make, file, size_bytes)
        async with hub(Path(root)) as endpoint:
            for folder in folders:
                url = f"{endpoint}/{REPO}/resolve/main/m.gguf"
                await measure(url, file, sha256, folder, rounds)


def main() -> None:
    """Parse the command line and measure."""
    parser = argparse.ArgumentParser(prog="python -m bench.download", description=__doc__)
    parser.add_argument("folders", type=Path, nargs="*", default=[Path(tempfile.gettempdir())])
    parser.add_argument("--mib", type=int, default=1024)
    parser.add_argument("--rounds", type=int, default=5)
    asked = parser.parse_args()
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        runner.run(run(asked.mib * MIB, asked.rounds, asked.folders))


if __name__ == "__main__":
    main()
