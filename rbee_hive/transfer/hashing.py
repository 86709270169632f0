"""The hash of a file that is still coming: it follows the bytes that are there without a gap."""

import hashlib
import os
from pathlib import Path
from threading import Lock

from rbee_hive.transfer.file import RemoteFile
from rbee_hive.transfer.policy import READ_BYTES


class Following:
    """Hashes a file from its first byte on, as far as it may. Its methods block."""

    def __init__(self, path: Path, file: RemoteFile) -> None:
        self._file = file
        self._path = path
        self._descriptor = -1
        self._buffer = memoryview(bytearray(READ_BYTES))
        self._sha256 = hashlib.sha256()
        begin = b"blob %d\0" % file.size_bytes  # as git does
        self._git_sha1 = hashlib.sha1(begin, usedforsecurity=False)
        self._lock = Lock()
        self._is_stopped = False
        self.done_bytes = 0

    def follow(self, until: int) -> None:
        """Hash all bytes before `until`, or those until it is stopped.

        Raises:
            OSError: they cannot be read.
        """
        with self._lock:
            if self._descriptor < 0 and not self._is_stopped:
                self._descriptor = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
            while self.done_bytes < until and not self._is_stopped:
                room = self._buffer[: min(READ_BYTES, until - self.done_bytes)]
                length = os.preadv(self._descriptor, [room], self.done_bytes)
                if length == 0:
                    return  # somebody made it shorter: the hash will say so
                self._sha256.update(room[:length])
                if not self._file.sha256:
                    self._git_sha1.update(room[:length])
                self.done_bytes += length

    def stop(self) -> None:
        """End `follow` soon; does not block."""
        self._is_stopped = True

    def close(self) -> None:
        """Stop, wait for it, and close the file."""
        self.stop()
        with self._lock:
            if self._descriptor >= 0:
                os.close(self._descriptor)
            self._descriptor = -1

    @property
    def sha256(self) -> str:
        """The SHA-256 of what was followed."""
        return self._sha256.hexdigest()

    @property
    def found(self) -> str:
        """The hash of the kind that the file is known by."""
        return self.sha256 if self._file.sha256 else self._git_sha1.hexdigest()

    @property
    def is_right(self) -> bool:
        """Whether it is the file's."""
        return self.found == self._file.name
