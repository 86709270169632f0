"""A job drawn live on a terminal: a spinner a step, a bar where there is a measure.

Steps vanish when the answer begins: what stays on the screen is the answer.
"""

from rich.console import RenderableType
from rich.progress import (
    BarColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    Task,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from rbee.v1 import job_pb2
from rbee_keeper import output
from rbee_keeper.answer import Answer
from rbee_shared.contracts import wire
from rbee_shared.narration.event import Level, Narration
from rbee_shared.narration.redact import clean

STYLES = {Level.WARN: "yellow", Level.ERROR: "red"}


class LiveDisplay:
    """Steps on stderr while they run, the answer on stdout."""

    def __init__(self) -> None:
        self._answer = Answer()
        self._steps: dict[tuple[str, str], TaskID] = {}
        self._progress = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}", markup=False),
            _Bar(),
            _Measure(),
            _Remaining(),
            console=output.stderr(),
            transient=True,
        )
        self._is_drawing = False

    def event(self, event: job_pb2.JobEvent) -> None:
        """Draw one event of a job."""
        match event.WhichOneof("kind"):
            case "narration":
                self.narrate(wire.narration_from_proto(event.narration))
            case "completion":
                self._stop()
                self._answer.write(event.completion.text)
            case _:
                pass

    def narrate(self, narration: Narration) -> None:
        """Draw one step; a warning stays."""
        narration = clean(narration)
        if narration.level < Level.INFO:
            return
        if narration.level in STYLES:
            self._answer.pause()
            self._progress.console.print(Text(narration.human, style=STYLES[narration.level]))
            return
        self._start()
        self._step(narration)

    def close(self) -> None:
        """Take the steps away and end the answer's last line."""
        self._stop()
        self._answer.end()

    def _step(self, narration: Narration) -> None:
        key = (narration.action, narration.target)
        step = self._steps.get(key)
        if step is None:
            for done in self._steps.values():
                self._progress.update(done, visible=False)
            step = self._steps[key] = self._progress.add_task("", total=None)
        measure = narration.progress
        self._progress.update(
            step,
            description=narration.human,
            visible=True,
            completed=measure.done if measure else 0,
            total=(measure.total or None) if measure else None,
            unit=measure.unit if measure else "",
        )

    def _start(self) -> None:
        if not self._is_drawing:
            self._answer.pause()
            self._progress.start()
            self._is_drawing = True

    def _stop(self) -> None:
        if self._is_drawing:
            self._progress.stop()
            self._is_drawing = False
            for step in self._steps.values():
                self._progress.remove_task(step)
            self._steps.clear()


class _Bar(ProgressColumn):
    """A bar, where there is a measure."""

    def __init__(self) -> None:
        super().__init__()
        self._bar = BarColumn()

    def render(self, task: Task) -> RenderableType:
        return self._bar.render(task) if task.total else Text()


class _Measure(ProgressColumn):
    """Bytes with their rate, or steps."""

    def render(self, task: Task) -> Text:
        if not task.total:
            return Text()
        if task.fields.get("unit") != "bytes":
            return Text(f"{task.completed:.0f}/{task.total:.0f}")
        rate = f" {output.human_bytes(task.speed)}/s" if task.speed else ""
        done, total = output.human_bytes(task.completed), output.human_bytes(task.total)
        return Text(f"{done} of {total}{rate}")


class _Remaining(TimeRemainingColumn):
    """The time that is left, where there is a measure."""

    def render(self, task: Task) -> Text:
        return super().render(task) if task.total else Text()
