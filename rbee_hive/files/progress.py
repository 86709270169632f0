"""Telling how far a step of a pull is: often enough for people, seldom enough for a log."""

import time
from dataclasses import dataclass, replace

from rbee_hive.files.steps import Told
from rbee_hive.transfer.progress import FileProgress, TransferProgress
from rbee_shared.narration.event import Level, Progress
from rbee_shared.narration.narrate import narrate

INTERVAL_S = 0.25


@dataclass(frozen=True, slots=True)
class Doing:
    """What is done to a model, as it is told; every text is a template over `model`."""

    action: str
    human: str
    cute: str
    story: str


FETCHING = Doing(
    "model_download",
    "fetching {model}",
    cute="flying out for {model}",
    story='"Bring me {model}", says the hive',
)
UNPACKING = Doing(
    "model_unpack",
    "unpacking {model}",
    cute="brushing the pollen off {model}",
    story='"Let me unpack {model}", says the hive',
)
CHECKING = Doing(
    "model_verify",
    "checking {model}",
    cute="sniffing at every byte of {model}",
    story='"Is this really {model}?" asks the hive',
)
REUSING = Doing(
    "model_reuse",
    "looking at what is here of {model}",
    cute="going through the pantry for {model}",
    story='"Have we not some of {model}?" asks the hive',
)
COMPARING = Doing(
    "model_compare",
    "comparing {model} with what is here",
    cute="tasting whether {model} is here already",
    story='"Is it what we have of {model}?" asks the hive',
)
HASHING = Doing(
    "model_hash",
    "hashing {model}",
    cute="counting every drop of {model}",
    story='"I want to know {model} again", says the hive',
)
LINKING = Doing(
    "model_link",
    "linking {model}",
    cute="hanging {model} into the comb",
    story='"{model} may stay where it is", says the hive',
)


def progress_of(doing: Doing, name: str, total_bytes: int) -> Told:
    """Return what tells the progress of a step on a model, given the bytes done.

    The last byte is always told; before it, at most one telling each `INTERVAL_S`.
    """
    next_s = 0.0

    def told(done_bytes: int) -> None:
        nonlocal next_s
        now_s = time.monotonic()
        if now_s < next_s and done_bytes < total_bytes:
            return
        next_s = now_s + INTERVAL_S
        narrate(
            doing.action,
            doing.human,
            target=name,
            progress=Progress(done_bytes, total_bytes, "bytes"),
            cute=doing.cute,
            story=doing.story,
            model=name,
        )

    return told


class TransferTold:
    """Tells how far a transfer is: all of it, and each file at work; call it with each progress."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._next_s = 0.0
        self._files: dict[str, FileProgress] = {}

    def __call__(self, progress: TransferProgress) -> None:
        """Tell it, unless something was told a moment ago."""
        now_s = time.monotonic()
        if now_s < self._next_s and progress.done_bytes < progress.total_bytes:
            return
        self._next_s = now_s + INTERVAL_S
        narrate(
            FETCHING.action,
            FETCHING.human,
            target=self._name,
            progress=Progress(
                progress.done_bytes,
                progress.total_bytes,
                "bytes",
                rate=progress.bytes_per_s,
                remaining_s=progress.eta_s,
            ),
            cute=FETCHING.cute,
            story=FETCHING.story,
            model=self._name,
        )
        at_work = {file.path: file for file in progress.files}
        for path, file in self._files.items():
            if path not in at_work:
                _tell_file(replace(file, done_bytes=file.total_bytes, eta_s=0.0))
        for file in at_work.values():
            _tell_file(file)
        self._files = at_work


def _tell_file(file: FileProgress) -> None:
    narrate(
        "file_download",
        "{file}",
        target=file.path,
        level=Level.DEBUG,
        progress=Progress(
            file.done_bytes,
            file.total_bytes,
            "bytes",
            rate=file.bytes_per_s,
            remaining_s=file.eta_s,
        ),
        file=file.path,
    )
