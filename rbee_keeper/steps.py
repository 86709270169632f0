"""Which steps of a job run now, and which are done, by what is told. Pure.

A step begins when its action is first told of a target. It is done when the next one begins,
unless its measure says that more is to come: several downloads run side by side.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from rbee_keeper import units
from rbee_shared.narration.event import Narration, Progress

STEPS_MAX = 8  # on the screen at once; the oldest makes room


@dataclass(frozen=True, slots=True)
class Step:
    """A step. `label` is what was told first, `human` what was told last."""

    number: int
    action: str
    target: str
    label: str
    human: str
    begin_s: float
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

    def is_told_by(self, narration: Narration) -> bool:
        """Whether this is told of the step: its measure may begin under a name of its own."""
        return narration.action == self.action and (
            narration.target == self.target
            or (self.progress is None and narration.progress is not None)
        )


def advance(running: Sequence[Step], told: Narration) -> tuple[list[Step], list[Step]]:
    """Return the steps that run after this is told, oldest first, and those that are done."""
    for index, step in enumerate(running):
        if step.is_told_by(told):
            now = replace(step, target=told.target, human=told.human, progress=told.progress)
            return [*running[:index], now, *running[index + 1 :]], []
    staying = [step for step in running if step.is_open()][-STEPS_MAX + 1 :]
    kept = {step.number for step in staying}
    begun = Step(
        number=max((step.number for step in running), default=0) + 1,
        action=told.action,
        target=told.target,
        label=told.human,
        human=told.human,
        begin_s=told.time_s,
        progress=told.progress,
    )
    return [*staying, begun], [step for step in running if step.number not in kept]
