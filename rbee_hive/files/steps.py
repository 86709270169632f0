"""Long work on files, one chunk at a time in a thread: progress between chunks, and a cancel too.

A thread cannot be stopped, so work that blocks for seconds is a generator that yields the bytes
done after every chunk, counted from `begin_bytes`. When it is dropped between two of them its files
close by themselves, and at most one chunk was written too many.
"""

import asyncio
import hashlib
import os
from collections.abc import Callable, Generator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Generic, TypeVar

from rbee_shared.limits import MIB

CHUNK_BYTES = 4 * MIB

T = TypeVar("T")
Steps = Generator[int, None, T]
Told = Callable[[int], None]


@dataclass(frozen=True, slots=True)
class _Done(Generic[T]):
    result: T


async def in_steps(steps: Steps[T], told: Told) -> T:
    """Run `steps` to the end in threads, calling `told` with what each one yields."""
    while True:
        step = await asyncio.to_thread(_next, steps)
        if isinstance(step, _Done):
            return step.result
        told(step)


def hash_steps(file: Path, *, begin_bytes: int = 0) -> Steps[str]:
    """Hash a file and have it on the disk; yield the bytes done, return the SHA-256."""
    digest = hashlib.sha256()
    yield from _feed(file, digest.update, begin_bytes)
    return digest.hexdigest()


def git_hash_steps(file: Path) -> Steps[str]:
    """Hash a file as git does a blob; yield the bytes done, return the SHA-1."""
    digest = hashlib.sha1(b"blob %d\0" % file.stat().st_size, usedforsecurity=False)
    yield from _feed(file, digest.update, 0)
    return digest.hexdigest()


def copy_steps(opens: Callable[[], IO[bytes]], target: Path, *, begin_bytes: int = 0) -> Steps[str]:
    """Copy what `opens` opens into a new file; yield the bytes done, return the SHA-256."""
    digest, done = hashlib.sha256(), begin_bytes
    with opens() as source, target.open("xb") as copy:
        while chunk := source.read(CHUNK_BYTES):
            copy.write(chunk)
            digest.update(chunk)
            done += len(chunk)
            yield done
    return digest.hexdigest()


def _feed(file: Path, update: Callable[[bytes], object], done: int) -> Steps[None]:
    with file.open("rb") as opened:
        while chunk := opened.read(CHUNK_BYTES):
            update(chunk)
            done += len(chunk)
            yield done
        os.fsync(opened.fileno())


def _next(steps: Steps[T]) -> int | _Done[T]:
    try:
        return next(steps)
    except StopIteration as end:
        return _Done(end.value)
