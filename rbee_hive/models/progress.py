"""Telling how far a step of a pull is: often enough for people, seldom enough for a log."""

import time
from dataclasses import dataclass

from rbee_hive.models.steps import Told
from rbee_shared.narration.event import Progress
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
HASHING = Doing(
    "model_verify",
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
