"""What a person sees of a job while it runs: one interface, drawn plainly, live, or as JSON.

Talk goes to stderr. The answer goes to stdout, piece by piece, and nothing else does.
"""

import os
import sys
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Protocol

from rbee.v1 import job_pb2
from rbee_keeper import units
from rbee_keeper.answer import Answer
from rbee_keeper.document import shown
from rbee_keeper.logprobs import LogprobTable
from rbee_keeper.steps import is_part_measure
from rbee_keeper.voice import voiced
from rbee_shared.contracts import wire
from rbee_shared.narration.event import Level, Mode, Narration
from rbee_shared.narration.line import to_human
from rbee_shared.narration.redact import clean

PROGRESS_EVERY_S = 2.0
STEPS_MAX = 100  # whose progress is paced at once; the oldest is forgotten
WORDS = {Level.WARN: "warning: ", Level.ERROR: "error: "}
DUMB_TERMINALS = ("dumb", "unknown")  # they cannot take back what they show


class Display(Protocol):
    """Draws what happens."""

    def event(self, event: job_pb2.JobEvent) -> None:
        """Draw one event of a job."""
        ...

    def narrate(self, narration: Narration) -> None:
        """Draw what is told outside of any job."""
        ...

    def close(self) -> None:
        """Leave the terminal as it is to stay."""
        ...


class PlainDisplay:
    """A line a narration; for pipes, logs, and whoever wants all of it."""

    def __init__(
        self,
        *,
        verbose: bool,
        mode: Mode = Mode.HUMAN,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._verbose = verbose
        self._mode = mode
        self._clock = clock
        self._answer = Answer()
        self._logprobs = LogprobTable()
        self._progress: dict[tuple[str, str], tuple[float, str]] = {}

    def event(self, event: job_pb2.JobEvent) -> None:
        """Draw one event of a job."""
        match event.WhichOneof("kind"):
            case "narration":
                self.narrate(wire.narration_from_proto(event.narration))
            case "completion":
                self._answer.write(event.completion.text, event.completion.index)
                self._logprobs.take(event.completion)
            case "result":
                self._answer.take(event.result.infer.finishes)
            case _:
                pass

    def narrate(self, narration: Narration) -> None:
        """Write one line, if it is wanted and not told a moment ago."""
        narration = voiced(clean(narration), self._mode)
        measure = _measure(narration)
        if self._verbose:
            self._line(to_human(narration) + measure)
            return
        if is_part_measure(narration):
            return  # the measure of all is told too
        line = WORDS.get(narration.level, "") + narration.human + measure
        if narration.level >= Level.INFO and narration.human and self._is_news(narration, line):
            self._line(line)

    def close(self) -> None:
        """End the answer's last line; with all that is told, say how likely each token was."""
        self._answer.end()
        if self._verbose:
            self._logprobs.show()

    def _line(self, text: str) -> None:
        self._answer.pause()
        sys.stderr.write(text + "\n")
        sys.stderr.flush()

    def _is_news(self, narration: Narration, line: str) -> bool:
        progress = narration.progress
        if progress is None:
            return True
        key = (narration.action, narration.target)
        told_s, told = self._progress.get(key, (-PROGRESS_EVERY_S, ""))
        now_s = self._clock()
        is_last = 0 < progress.total <= progress.done
        if told == line or (now_s - told_s < PROGRESS_EVERY_S and not is_last):
            return False
        self._progress.pop(key, None)
        if len(self._progress) == STEPS_MAX:
            self._progress.pop(next(iter(self._progress)))
        self._progress[key] = (now_s, line)
        return True


class JsonDisplay:
    """One JSON object a line, for programs: every event, and nothing else.

    An event has the texts of all modes; `mode` is about the talk on stderr.
    """

    def __init__(self, *, mode: Mode = Mode.HUMAN) -> None:
        self._mode = mode

    def event(self, event: job_pb2.JobEvent) -> None:
        """Write one event."""
        from google.protobuf.json_format import MessageToJson  # noqa: PLC0415 - only here

        line = MessageToJson(
            event, preserving_proto_field_name=True, indent=None, ensure_ascii=False
        )
        sys.stdout.write(shown(line) + "\n")
        sys.stdout.flush()

    def narrate(self, narration: Narration) -> None:
        """Write talk that belongs to no job to stderr."""
        if narration.level >= Level.INFO:
            sys.stderr.write(voiced(clean(narration), self._mode).human + "\n")

    def close(self) -> None:
        """Nothing is left to do."""


@contextmanager
def opened_display(
    *, as_json: bool, verbose: bool, whole: bool = False, mode: Mode = Mode.HUMAN
) -> Generator[Display]:
    """Draw for the block: JSON if asked for, live where a person watches, else plainly.

    `whole`: every step leaves a line, however short it was. `mode`: in whose voice.
    """
    display: Display
    if as_json:
        display = JsonDisplay(mode=mode)
    elif verbose or not sys.stderr.isatty() or os.environ.get("TERM") in DUMB_TERMINALS:
        display = PlainDisplay(verbose=verbose, mode=mode)
    else:
        from rbee_keeper.live import LASTING_S, LiveDisplay  # noqa: PLC0415 - pipes need no rich

        display = LiveDisplay(lasting_s=0.0 if whole else LASTING_S, mode=mode)
    try:
        yield display
    finally:
        display.close()


def _measure(narration: Narration) -> str:
    progress = narration.progress
    if progress is None or progress.unit != "bytes" or not progress.total:
        return ""
    return f" ({', '.join(filter(None, (units.measure(progress), units.pace(progress))))})"
