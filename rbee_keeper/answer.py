"""The answer on stdout: piece by piece, and nothing else; of several, one after the other."""

import json
import sys
from collections.abc import Sequence

from rbee.v1 import inference_pb2
from rbee_keeper.document import to_json
from rbee_shared.narration.redact import strip_controls

RULE = "---"  # between two answers


class Answer:
    """The text on stdout, and where it stands.

    The first answer is written as it comes. The others come at the same time, and are held back
    until it has ended.
    """

    def __init__(self) -> None:
        self._last = "\n"
        self._is_terminal = sys.stdout.isatty()
        self._held: dict[int, str] = {}
        self._calls: dict[int, list[str]] = {}

    def write(self, text: str, index: int = 0) -> None:
        """Write a piece at once, or hold it; on a terminal without what could command it."""
        if index:
            self._held[index] = self._held.get(index, "") + text
            return
        if self._is_terminal:
            text = strip_controls(text)
        if text:
            sys.stdout.write(text)
            sys.stdout.flush()
            self._last = text[-1]

    def take(self, finishes: Sequence[inference_pb2.Finish]) -> None:
        """Note how the answers ended: which there are, and the tools that they call."""
        for finish in finishes:
            self._calls[finish.index] = [_call_line(call) for call in finish.tool_calls]
            if finish.index:
                self._held.setdefault(finish.index, "")

    def pause(self) -> None:
        """Begin a new line on a terminal that shows stderr too."""
        if self._is_terminal:
            self._break()

    def end(self) -> None:
        """Write what was held back, and end the last line."""
        self._write_calls(0)
        for index in sorted(self._held):
            self._break()
            self.write(f"{RULE}\n")
            self.write(self._held[index])
            self._write_calls(index)
        self._held.clear()
        self._break()

    def _write_calls(self, index: int) -> None:
        for line in self._calls.pop(index, ()):
            self._break()
            self.write(line + "\n")

    def _break(self) -> None:
        if self._last != "\n":
            sys.stdout.write("\n")
            sys.stdout.flush()
            self._last = "\n"


def _call_line(call: inference_pb2.ToolCall) -> str:
    try:
        arguments = json.loads(call.arguments)
    except (ValueError, RecursionError):  # a cut answer ends where it ends
        arguments = call.arguments
    return to_json({"id": call.id, "name": call.name, "arguments": arguments})
