"""SHA-256 of what came, and the error where it is not what was asked for."""

import asyncio
from pathlib import Path

from rbee_hive.files.progress import CHECKING, progress_of
from rbee_hive.files.steps import git_hash_steps, hash_steps, in_steps
from rbee_shared.errors import DataLossError


class HashMismatchError(DataLossError):
    """What came is not what was asked for."""

    reason = "HASH_MISMATCH"
    hint = "pull again; if it stays so, the source or the way to it is not to be trusted"

    def __init__(self, what: str, *, wanted: str, found: str) -> None:
        super().__init__(f"the SHA-256 of {what} is `{found}`, not `{wanted}`")


async def hashed_file(name: str, file: Path) -> str:
    """Return the SHA-256 of a file of a model, telling how far it is."""
    size_bytes = await asyncio.to_thread(lambda: file.stat().st_size)
    return await in_steps(hash_steps(file), progress_of(CHECKING, name, size_bytes))


async def is_git_blob(file: Path, sha1: str) -> bool:
    """Return whether that is the hash git has for the file."""
    return await in_steps(git_hash_steps(file), lambda _: None) == sha1
