"""What a person sees of a job while it runs: one interface, drawn plainly, live, or as JSON.

Talk goes to stderr. The answer goes to stdout, piece by piece, and nothing else does.
"""

import sys
import time
from collections.abc import Generator
from contextlib import contextmanager
from typing import Protocol

from rbee.v1 import job_pb2
from rbee_keeper.answer import Answer
from rbee_shared.contracts import wire
from rbee_shared.narration.event import Level, Narration
from rbee_shared.narration.line import to_human
from rbee_shared.narration.redact import clean

PROGRESS_EVERY_S = 2.0


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

    def __init__(self, *, verbose: bool) -> None:
        self._verbose = verbose
        self._answer = Answer()
        self._progress: dict[tuple[str, str], tuple[float, str]] = {}

    def event(self, event: job_pb2.JobEvent) -> None:
        """Draw one event of a job."""
        match event.WhichOneof("kind"):
            case "narration":
                self.narrate(wire.narration_from_proto(event.narration))
            case "completion":
                self._answer.write(event.completion.text)
            case _:
                pass

    def narrate(self, narration: Narration) -> None:
        """Write one line, if it is wanted and not told a moment ago."""
        narration = clean(narration)
        if self._verbose:
            self._line(to_human(narration))
        elif narration.level >= Level.INFO and self._is_news(narration):
            self._line(narration.human)

    def close(self) -> None:
        """End the answer's last line."""
        self._answer.end()

    def _line(self, text: str) -> None:
        self._answer.pause()
        sys.stderr.write(text + "\n")
        sys.stderr.flush()

    def _is_news(self, narration: Narration) -> bool:
        if narration.progress is None:
            return True
        key = (narration.action, narration.target)
        told_s, told = self._progress.get(key, (0.0, ""))
        now_s = time.monotonic()
        if now_s - told_s < PROGRESS_EVERY_S or told == narration.human:
            return False
        self._progress[key] = (now_s, narration.human)
        return True


class JsonDisplay:
    """One JSON object a line, for programs: every event, and nothing else."""

    def event(self, event: job_pb2.JobEvent) -> None:
        """Write one event."""
        from google.protobuf.json_format import MessageToJson  # noqa: PLC0415 - only here

        line = MessageToJson(
            event, preserving_proto_field_name=True, indent=None, ensure_ascii=False
        )
        sys.stdout.write(line + "\n")
        sys.stdout.flush()

    def narrate(self, narration: Narration) -> None:
        """Write talk that belongs to no job to stderr."""
        sys.stderr.write(clean(narration).human + "\n")

    def close(self) -> None:
        """Nothing is left to do."""


@contextmanager
def opened_display(*, as_json: bool, verbose: bool) -> Generator[Display]:
    """Draw for the block: JSON if asked for, live where a person watches, else plainly."""
    display: Display
    if as_json:
        display = JsonDisplay()
    elif verbose or not sys.stderr.isatty():
        display = PlainDisplay(verbose=verbose)
    else:
        from rbee_keeper.live import LiveDisplay  # noqa: PLC0415 - pipes do without rich

        display = LiveDisplay()
    try:
        yield display
    finally:
        display.close()
