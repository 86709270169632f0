"""Files on their way, named by their content's hash, as they lie on the disk.

    HASH.part    the bytes, at their places; as long as the file from the start
    HASH.state   whose it is, and which bytes are there: written after them, so that it never
                 says too much, whenever the process is killed
    HASH         whole, and it had its hash when it got this name

The process that fetches holds a flock on the part, which the kernel drops with it. After a loss of
power the state may say too much: then the hash is wrong, and the file is fetched again.
"""

import fcntl
import json
import os
import re
import time
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from typing import Any, cast

from rbee_hive.transfer.file import RemoteFile
from rbee_hive.transfer.spans import Spans

PART = ".part"
STATE = ".state"
_TORN = ".state.new"
_WRITTEN = re.compile(r"\+([0-9]{1,19}) ([0-9]{1,19})")  # a torn line is no line with this


class PartBusyError(Exception):
    """Another process fetches this content."""


@dataclass(frozen=True, slots=True)
class Leftover:
    """What an earlier transfer left: a part, or a whole file that nobody took."""

    name: str
    owner: str
    size_bytes: int
    age_s: float


@dataclass(slots=True)
class Part:
    """The part of one file. All methods block for the disk; `spans` are added to by the caller.

    A caller that was cancelled in the middle of any method closes it: once it is closed, what a
    thread still does here comes to nothing.
    """

    folder: Path
    file: RemoteFile
    owner: str
    spans: Spans = field(default_factory=Spans)
    _descriptor: int = -1
    _state: int = -1
    _is_closed: bool = False
    _lock: Lock = field(default_factory=Lock)

    @property
    def path(self) -> Path:
        """Where the bytes are."""
        return self.folder / f"{self.file.name}{PART}"

    def open(self) -> None:
        """Hold the part, with what is there of it.

        Raises:
            PartBusyError: another process has it.
            OSError: the disk cannot.
        """
        with self._lock:
            if self._is_closed:
                return
            self._descriptor = _locked(self.path)
            self.spans = _read_state(self.folder, self.file)
            os.ftruncate(self._descriptor, self.file.size_bytes)
            self._rewrite_state()

    def write(self, begin: int, blocks: list[bytes]) -> None:
        """Write bytes where they belong, then that they are there.

        Raises:
            OSError: the disk cannot take them.
        """
        data = memoryview(b"".join(blocks))
        end = begin + len(data)
        with self._lock:
            if self._is_closed:
                return
            at = begin
            while at < end:
                at += os.pwrite(self._descriptor, data[at - begin :], at)
            os.write(self._state, f"+{begin} {end}\n".encode())

    def restart(self) -> None:
        """Have nothing of the file any more."""
        with self._lock:
            if self._is_closed:
                return
            os.ftruncate(self._descriptor, 0)
            os.ftruncate(self._descriptor, self.file.size_bytes)
            self.spans = Spans()
            self._rewrite_state()

    def finish(self) -> Path:
        """Give the file its name: its hash was right."""
        target = self.folder / self.file.name
        with self._lock:
            if not self._is_closed:
                self.path.rename(target)
        return target

    def remove(self) -> None:
        """Leave nothing of it."""
        with self._lock:
            if not self._is_closed:
                self.path.unlink(missing_ok=True)
                (self.folder / f"{self.file.name}{STATE}").unlink(missing_ok=True)

    def close(self) -> None:
        """Wait for the block that is being written, and let others have the part."""
        with self._lock:
            self._is_closed = True
            for descriptor in (self._descriptor, self._state):
                if descriptor >= 0:
                    os.close(descriptor)
            self._descriptor = self._state = -1

    def _rewrite_state(self) -> None:
        header = {"owner": self.owner, "url": self.file.url, "size_bytes": self.file.size_bytes}
        lines = [json.dumps(header), *(f"+{begin} {end}" for begin, end in self.spans)]
        torn = self.folder / f"{self.file.name}{_TORN}"
        torn.write_text("\n".join(lines) + "\n")
        state = self.folder / f"{self.file.name}{STATE}"
        torn.replace(state)
        if self._state >= 0:
            os.close(self._state)
        self._state = os.open(state, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)


def whole_file(folder: Path, file: RemoteFile) -> Path | None:
    """Return the file if it is whole; None if it is not here or not of its size."""
    path = folder / file.name
    try:
        return path if path.stat().st_size == file.size_bytes else None
    except FileNotFoundError:
        return None


def done_bytes(folder: Path, file: RemoteFile) -> int:
    """Return how much of a file is here."""
    if whole_file(folder, file) is not None:
        return file.size_bytes
    return _read_state(folder, file).size_bytes


def leftovers(folder: Path) -> list[Leftover]:
    """Return all that lies there, in the order of the names."""
    names = {each.name.partition(".")[0] for each in folder.iterdir()}
    found = [_leftover(folder, name) for name in sorted(names)]
    return [each for each in found if each is not None]


def remove(folder: Path, name: str) -> bool:
    """Leave nothing of a name, unless a process is fetching it; return whether nothing is left."""
    path = folder / f"{name}{PART}"
    try:
        descriptor = _locked(path)
    except PartBusyError:
        return False
    try:
        for each in (folder / f"{name}{_TORN}", folder / f"{name}{STATE}", folder / name, path):
            each.unlink(missing_ok=True)
    finally:
        os.close(descriptor)
    return True


def _locked(path: Path) -> int:
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.fstat(descriptor).st_nlink:
                named = path.stat()
                if named.st_ino == os.fstat(descriptor).st_ino:
                    return descriptor
        except BlockingIOError as error:
            os.close(descriptor)
            raise PartBusyError from error
        except FileNotFoundError:
            pass
        os.close(descriptor)  # it got its name, or went, between the two calls


def _read_state(folder: Path, file: RemoteFile) -> Spans:
    try:
        length = (folder / f"{file.name}{PART}").stat().st_size
        text = (folder / f"{file.name}{STATE}").read_text(errors="replace")
    except FileNotFoundError:
        return Spans()
    lines = text.split("\n")[:-1]  # a line without an end was not written whole
    header = _header(lines[0] if lines else "")
    if header.get("size_bytes") != file.size_bytes or length != file.size_bytes:
        return Spans()
    return Spans.of(
        (begin, end) for begin, end in map(_span, lines[1:]) if 0 <= begin <= end <= file.size_bytes
    )


def _span(line: str) -> tuple[int, int]:
    found = _WRITTEN.fullmatch(line)
    return (int(found[1]), int(found[2])) if found else (0, 0)


def _header(line: str) -> dict[str, Any]:
    try:
        found: Any = json.loads(line)
    except (ValueError, RecursionError):
        return {}
    return cast("dict[str, Any]", found) if isinstance(found, dict) else {}


def _leftover(folder: Path, name: str) -> Leftover | None:
    files = [folder / f"{name}{suffix}" for suffix in ("", PART, STATE, _TORN)]
    stats = [each.stat() for each in files if each.exists()]
    if not name or not stats:
        return None
    state = folder / f"{name}{STATE}"
    first = state.read_text(errors="replace").partition("\n")[0] if state.exists() else ""
    newest = max(each.st_mtime for each in stats)
    used = sum(each.st_blocks * 512 for each in stats)  # a part's length says nothing of its bytes
    return Leftover(name, str(_header(first).get("owner", "")), used, time.time() - newest)
