"""A process that fetches one file and says how far it is, until it is killed.

Run as `python fetch_child.py PARTS URL SIZE SHA256`. Each line is the bytes that it announced,
written out at once; the last is the file that is whole.
"""

import asyncio
import os
import sys
from pathlib import Path

from rbee_hive.transfer.fetcher import opened_fetcher
from rbee_hive.transfer.file import RemoteFile
from rbee_hive.transfer.progress import TransferProgress
from rbee_hive.transfer.rate import Rate
from tests.transfers import QUICK, room_for_all


def say(text: object) -> None:
    """Write a line that no buffer holds back."""
    os.write(sys.stdout.fileno(), f"{text}\n".encode())


def told(progress: TransferProgress) -> None:
    """Announce."""
    say(progress.done_bytes)


async def main(parts: Path, file: RemoteFile) -> None:
    """Fetch it."""
    async with opened_fetcher(parts, policy=QUICK) as fetcher:
        (blob,) = await fetcher.fetch(
            [file], owner="child", headers={}, rate=Rate(), told=told, check_room=room_for_all
        )
    say(blob.file)


if __name__ == "__main__":
    folder, url, size, sha256 = sys.argv[1:]
    asyncio.run(main(Path(folder), RemoteFile("m.gguf", url, int(size), sha256=sha256)))
