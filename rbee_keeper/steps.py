"""Which steps of a job run now, and which are done, by what is told. Pure.

A step begins when its action is first told of a target. It is done when the next one begins,
unless its measure says that more is to come: several downloads run side by side.

The files of a pull are parts of a step: the step has the measure of all, so a part is shown while
it is under way, makes room for every step, and is never said to be done.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from rbee_keeper import units
from rbee_shared.narration.event import Narration, Progress

STEPS_MAX = 8  # on the screen at once; the oldest makes room, a part before a step
PART_ACTION = "file_download"
PART_SILENT_S = 2.0  # a part of which nothing was told for so long may be replaced by another


@dataclass(frozen=True, slots=True)
class Step:
    """A step. `label` is what was told first, `human` what was told last, at `told_s`."""

    number: int
    action: str
    target: str
    label: str
    human: str
    begin_s: float
    told_s: float
    progress: Progress | None = None

    def summary(self) -> str:
        """Return what is left to say when it is done."""
        if self.progress and self.progress.total and self.progress.unit == "bytes":
            return f"{self.label} ({units.size(self.progress.total)})"
        return self.label

    def has_total(self) -> bool:
        """Whether it is known how much there is to do."""
        return self.progress is not None and self.progress.total > 0

    def is_open(self) -> bool:
        """Whether its measure says that more is to come."""
        return self.progress is not None and self.progress.done < self.progress.total

    def is_part(self) -> bool:
        """Whether it is a file of a pull."""
        return self.action == PART_ACTION

    def is_told_by(self, narration: Narration) -> bool:
        """Whether this is told of the step: its measure may begin under a name of its own."""
        return narration.action == self.action and (
            narration.target == self.target
            or (self.progress is None and narration.progress is not None)
        )

    def told(self, narration: Narration) -> "Step":
        """Return the step after this is told of it."""
        return replace(
            self,
            target=narration.target,
            human=narration.human,
            told_s=narration.time_s,
            progress=_risen(self.progress, narration.progress),
        )


def is_part_measure(narration: Narration) -> bool:
    """Whether this tells how far a file of a pull is."""
    return narration.action == PART_ACTION and narration.progress is not None


def advance(running: Sequence[Step], told: Narration) -> tuple[list[Step], list[Step]]:
    """Return the steps that run after this is told, oldest first, and those that are done."""
    for index, step in enumerate(running):
        if step.is_told_by(told):
            went_on = step.told(told)
            is_over = went_on.is_part() and not went_on.is_open()
            return [*running[:index], *([] if is_over else [went_on]), *running[index + 1 :]], []
    begun = Step(
        number=max((step.number for step in running), default=0) + 1,
        action=told.action,
        target=told.target,
        label=told.human,
        human=told.human,
        begin_s=told.time_s,
        told_s=told.time_s,
        progress=told.progress,
    )
    if begun.is_part():
        return _with_part(running, begun), []
    staying = _staying(running)
    kept = {step.number for step in staying}
    return [*staying, begun], ended([step for step in running if step.number not in kept])


def ended(running: Sequence[Step]) -> list[Step]:
    """Return which of these are said to be done when they run no more."""
    return [step for step in running if not step.is_part()]


def _risen(before: Progress | None, after: Progress | None) -> Progress | None:
    if before is None or after is None:
        return after or before
    if (before.total, before.unit) != (after.total, after.unit):
        return after  # another measure
    return replace(after, done=max(before.done, after.done))


def _with_part(running: Sequence[Step], begun: Step) -> list[Step]:
    if not begun.is_open():
        return list(running)
    if len(running) < STEPS_MAX:
        return [*running, begun]
    silent = [
        step for step in running if step.is_part() and begun.told_s - step.told_s >= PART_SILENT_S
    ]
    if not silent:
        return list(running)  # to take turns would make the screen flicker
    replaced = min(silent, key=lambda step: step.told_s)
    return [*(step for step in running if step is not replaced), begun]


def _staying(running: Sequence[Step]) -> list[Step]:
    staying = [step for step in running if step.is_open()]
    if all(step.is_part() for step in staying):
        return []  # the measure of all is full: so are its parts, though nobody said so
    excess = max(0, len(staying) + 1 - STEPS_MAX)
    leaving = sorted(staying, key=lambda step: not step.is_part())[:excess]
    return [step for step in staying if step not in leaving]
