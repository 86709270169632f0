"""A job drawn live on a terminal: a spinner a step, a bar where there is a measure.

What stays on the screen is the answer, warnings, and a line for each step that took a while.
"""

from dataclasses import dataclass, replace

from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.progress import (
    BarColumn,
    Progress as Bars,
    ProgressColumn,
    SpinnerColumn,
    Task,
    TaskID,
    TimeRemainingColumn,
)
from rich.table import Column
from rich.text import Text

from rbee.v1 import job_pb2
from rbee_keeper import output, units
from rbee_keeper.answer import Answer
from rbee_keeper.steps import Step, advance, ended, is_part_measure
from rbee_keeper.voice import voiced
from rbee_shared.contracts import wire
from rbee_shared.narration.event import Level, Mode, Narration, Progress
from rbee_shared.narration.redact import clean

LASTING_S = 1.0  # a step as long as this was waited for, and leaves a line
BAR_WIDTH = 24
ECHO = "^C"  # what a terminal writes by itself at an interrupt
BARS_FROM_WIDTH = 60  # columns of the terminal; a narrower one has words and numbers only
WORDS = {Level.WARN: ("warning", "yellow"), Level.ERROR: ("error", "red")}
CHECK, CHECK_ASCII, CHECK_CUTE = "✓", "+", "\N{HONEYBEE}"
NO_NEWS = {
    job_pb2.JOB_STATE_QUEUED: Narration(
        "",
        "",
        "waiting",
        0.0,
        cute="queueing at the hive",
        story='"One after the other", says the queen',
    ),
    job_pb2.JOB_STATE_RUNNING: Narration(
        "", "", "working", 0.0, cute="buzzing", story='"Let me see", says the queen'
    ),
}


class LiveDisplay:
    """Steps on stderr while they run, the answer on stdout.

    Steps of at least `lasting_s` leave a line; how long one took is told by the events' own
    times, so that a story told again later looks the same.
    """

    def __init__(self, *, lasting_s: float = LASTING_S, mode: Mode = Mode.HUMAN) -> None:
        self._lasting_s = lasting_s
        self._mode = mode
        self._answer = Answer()
        self._steps: list[Step] = []
        self._tasks: dict[tuple[int, bool], TaskID] = {}
        console = output.stderr()
        self._check = CHECK_CUTE if mode == Mode.CUTE else CHECK
        if console.options.ascii_only:
            self._check = CHECK_ASCII
        is_wide = console.width >= BARS_FROM_WIDTH
        measure = _Measure(with_rate=is_wide)
        self._bars = _Bars(
            SpinnerColumn(
                "line" if console.options.ascii_only else "dots",
                table_column=Column(no_wrap=True),
            ),
            _Words(),
            *((_Bar(), measure, _Remaining()) if is_wide else (measure,)),
            console=console,
            transient=True,
            redirect_stdout=False,  # what is written there is data, and must not turn into talk
            redirect_stderr=False,
        )
        self._is_drawing = False

    def event(self, event: job_pb2.JobEvent) -> None:
        """Draw one event of a job."""
        match event.WhichOneof("kind"):
            case "narration":
                self.narrate(wire.narration_from_proto(event.narration))
            case "completion":
                self._leave(wire.seconds(event.create_time))
                self._answer.write(event.completion.text, event.completion.index)
            case "result":
                self._answer.take(event.result.infer.finishes)
            case "state":
                self._change(event.state.state, wire.seconds(event.create_time))
            case _:
                pass

    def narrate(self, narration: Narration) -> None:
        """Draw one step; a warning stays."""
        narration = voiced(clean(narration), self._mode)
        if narration.level < Level.INFO and not is_part_measure(narration):
            return
        if narration.level in WORDS:
            word, style = WORDS[narration.level]
            self._answer.pause()
            self._bars.console.print(Text.assemble((word, style), f": {narration.human}"))
            return
        self._draw(narration)

    def redraw(self) -> None:
        """Draw now what is drawn a moment later anyway."""
        self._bars.refresh()

    def close(self) -> None:
        """Take the steps away and end the answer's last line."""
        self._stop()
        self._answer.end()

    def _change(self, state: job_pb2.JobState.ValueType, time_s: float) -> None:
        if state in NO_NEWS:
            self._draw(voiced(replace(NO_NEWS[state], time_s=time_s), self._mode))
        elif state == job_pb2.JOB_STATE_COMPLETED:
            self._leave(time_s)
        else:
            self._stop()  # what failed is told by the error

    def _draw(self, narration: Narration) -> None:
        self._start()
        self._steps, done = advance(self._steps, narration)
        self._tick(done, narration.time_s)
        # a task with a measure and one without are two: rich never forgets a total
        shown = {(step.number, step.has_total()): step for step in self._steps}
        for key in self._tasks.keys() - shown.keys():
            self._bars.remove_task(self._tasks.pop(key))
        for key, step in shown.items():
            measure = step.progress if step.has_total() else None
            if key not in self._tasks:
                total = measure.total if measure else None
                self._tasks[key] = self._bars.add_task(step.human, total=total)
            self._bars.update(
                self._tasks[key],
                description=step.human,
                completed=measure.done if measure else 0,
                total=measure.total if measure else None,
                measure=measure,
            )

    def _tick(self, done: list[Step], time_s: float) -> None:
        for step in done:
            if step.action and step.label and time_s - step.begin_s >= self._lasting_s:
                mark = Text(f"{self._check} ", style="green")
                self._bars.console.print(mark + Text(step.summary(), style="default"))

    def _start(self) -> None:
        if not self._is_drawing:
            self._answer.pause()
            self._bars.start()
            self._is_drawing = True

    def _leave(self, time_s: float) -> None:
        if self._is_drawing:
            self._tick(ended(self._steps), time_s)
        self._stop()

    def _stop(self) -> None:
        if self._is_drawing:
            self._bars.stop()
            self._is_drawing = False
        for task in self._tasks.values():
            self._bars.remove_task(task)
        self._tasks.clear()
        self._steps = []


class _Bars(Bars):
    """Rows that leave room for an interrupt's echo: else it begins a row that stays."""

    def get_renderable(self) -> RenderableType:
        return _Narrower(super().get_renderable())


@dataclass(frozen=True, slots=True)
class _Narrower:
    """What it holds, in a little less than the width that there is."""

    held: RenderableType

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield from console.render(
            self.held, options.update_width(max(1, options.max_width - len(ECHO)))
        )


class _Words(ProgressColumn):
    """What is being done, as it was told. It and the bar make room, numbers do not."""

    def render(self, task: Task) -> Text:
        return Text(task.description, no_wrap=True, overflow="ellipsis")


class _Bar(ProgressColumn):
    """A bar, where there is a measure."""

    def __init__(self) -> None:
        super().__init__()
        self._bar = BarColumn(bar_width=BAR_WIDTH)

    def render(self, task: Task) -> RenderableType:
        return self._bar.render(task) if task.total else Text()


class _Measure(ProgressColumn):
    """Bytes with their rate, or steps. The rate is the teller's, else as it is seen here."""

    def __init__(self, *, with_rate: bool) -> None:
        super().__init__(table_column=Column(no_wrap=True))
        self._with_rate = with_rate

    def render(self, task: Task) -> Text:
        measure: Progress | None = task.fields.get("measure")
        if not measure:
            return Text()
        has_rate = self._with_rate and measure.unit == "bytes" and not task.finished
        speed = (measure.rate or task.speed) if has_rate else None
        return Text(units.measure(measure) + (f", {units.rate(speed)}" if speed else ""))


class _Remaining(TimeRemainingColumn):
    """The time that is left, where there is a measure; the teller's, else as it is seen here."""

    def __init__(self) -> None:
        super().__init__(table_column=Column(no_wrap=True))

    def render(self, task: Task) -> Text:
        measure: Progress | None = task.fields.get("measure")
        if not measure or task.finished:
            return Text()
        if measure.remaining_s is not None:
            return Text(units.clock(measure.remaining_s), style="progress.remaining")
        return super().render(task)
