"""The answer on stdout: piece by piece, and nothing else."""

import sys

from rbee_shared.narration.redact import strip_controls


class Answer:
    """The text on stdout, and where it stands."""

    def __init__(self) -> None:
        self._last = "\n"
        self._is_terminal = sys.stdout.isatty()

    def write(self, text: str) -> None:
        """Write a piece at once; on a terminal without what could command it."""
        if self._is_terminal:
            text = strip_controls(text)
        if text:
            sys.stdout.write(text)
            sys.stdout.flush()
            self._last = text[-1]

    def pause(self) -> None:
        """Begin a new line on a terminal that shows stderr too."""
        if self._is_terminal:
            self.end()

    def end(self) -> None:
        """End the last line."""
        if self._last != "\n":
            sys.stdout.write("\n")
            sys.stdout.flush()
            self._last = "\n"
