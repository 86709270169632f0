"""Telling how far a step of a pull is: often enough for people, seldom enough for a log."""

import time

from rbee_hive.models.reference import Reference, told_as
from rbee_hive.models.steps import Told
from rbee_shared.narration.event import Progress
from rbee_shared.narration.narrate import narrate

INTERVAL_S = 0.25


def progress_of(action: str, doing: str, reference: Reference, total_bytes: int) -> Told:
    """Return what tells one step's progress, given the bytes done: `doing` the model.

    The last byte is always told; before it, at most one telling each `INTERVAL_S`.
    """
    name = told_as(reference)
    next_s = 0.0

    def told(done_bytes: int) -> None:
        nonlocal next_s
        now_s = time.monotonic()
        if now_s < next_s and done_bytes < total_bytes:
            return
        next_s = now_s + INTERVAL_S
        narrate(
            action,
            "{doing} {model}",
            target=name,
            progress=Progress(done_bytes, total_bytes, "bytes"),
            doing=doing,
            model=name,
        )

    return told
