"""Files that another program fetched from the hub, found in the Hugging Face cache. Blocks.

The cache keeps each file under its hash. A file that is there is as long as it should be, and not
more is known: whoever takes it hashes it first.
"""

import os
import re
import stat
from pathlib import Path

from huggingface_hub.constants import HF_HUB_CACHE

BLOBS = "blobs"

_HASH = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")


def cache_folder() -> Path:
    """Return where the cache is: HF_HUB_CACHE, or what follows from HF_HOME."""
    return Path(HF_HUB_CACHE)


def cached_blob(
    repo: str,
    *,
    size_bytes: int,
    sha256: str = "",
    git_sha1: str = "",
    cache: Path | None = None,
) -> Path | None:
    """Return the file of that hash and size that was fetched of a repository; None if none was.

    Args:
        repo: `org/name`.
        size_bytes: as the hub tells it.
        sha256: that of the file, if the hub tells it.
        git_sha1: git's hash of it, if the hub tells that.
        cache: where to look; the user's own if not given.
    """
    digest = sha256 or git_sha1
    if not _HASH.fullmatch(digest):
        return None
    folder = "--".join(("models", *repo.split("/")))
    blob = (cache or cache_folder()) / folder / BLOBS / digest
    try:
        found = os.lstat(blob)
    except OSError:
        return None
    return blob if stat.S_ISREG(found.st_mode) and found.st_size == size_bytes else None
