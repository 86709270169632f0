"""Finding the calls of tools in an answer as it grows. What could begin a call is held back. Pure.

Known are `<tool_call>{...}</tool_call>`, any number of them among text (Hermes, Qwen, SmolLM2), and
answers that are nothing but calls: an object (Llama 3) or an array of them (Mistral), whose control
tokens before it may or may not be written. What looks like a call and is none is text.
"""

import enum
import secrets
from collections.abc import Callable, Collection

from rbee_worker.tools.forms import UnfinishedError, call_in, calls_in, could_begin_calls
from rbee_worker.tools.tool import ToolCall

OPEN = "<tool_call>"
CLOSE = "</tool_call>"
CALLS_MAX = 128
HELD_CHARS_MAX = 262_144
CLOSES_MAX = 16  # within the strings of one call
ID_BYTES = 12


def new_call_id() -> str:
    """Return an id as OpenAI's are."""
    return f"call_{secrets.token_hex(ID_BYTES)}"


class _Mode(enum.Enum):
    BEGINNING = enum.auto()  # the answer may be nothing but calls
    WHOLE = enum.auto()  # it seems to be
    TEXT = enum.auto()
    CALL = enum.auto()
    PLAIN = enum.auto()  # text, whatever comes


class ToolCallStream:
    """Watches one answer. `calls` are those found so far, whose text is not let through.

    Blank text before the first call and after each is dropped with it.
    """

    def __init__(self, names: Collection[str], *, new_id: Callable[[], str] = new_call_id) -> None:
        """Begin an answer.

        Args:
            names: of the tools that are offered; calls of others are text.
            new_id: makes the id of a call.
        """
        self.calls: list[ToolCall] = []
        self._names = frozenset(names)
        self._new_id = new_id
        self._mode = _Mode.BEGINNING if names else _Mode.PLAIN
        self._held = ""
        self._body = 0  # where the call begins, in what is held
        self._searched = 0
        self._closes = 0
        self._drops_blank = True

    def push(self, text: str) -> str:
        """Take in the next piece and return what is sure to be text."""
        self._held += text
        sure = ""
        while (released := self._advance()) is not None:
            sure += released
        return sure

    def flush(self) -> str:
        """Return what was held back; the answer has ended."""
        if self._mode in (_Mode.BEGINNING, _Mode.WHOLE):
            if calls := calls_in(self._held, self._names, self._new_id)[:CALLS_MAX]:
                self.calls += calls
                self._held = ""
            self._mode = _Mode.TEXT
        sure = self.push("")
        while self._mode is _Mode.CALL:  # which was never closed
            sure += self._end(len(self._held), len(self._held), has_more=False) or ""
            sure += self.push("")
        rest = self._release(len(self._held))
        return sure + ("" if self.calls and self._drops_blank and not rest.strip() else rest)

    def _advance(self) -> str | None:
        """Return the text that is sure, perhaps none; None when there is more to be waited for."""
        if len(self._held) > HELD_CHARS_MAX:
            self._mode = _Mode.PLAIN
        match self._mode:
            case _Mode.BEGINNING:
                return self._begin()
            case _Mode.WHOLE:
                return None
            case _Mode.TEXT:
                return self._pass()
            case _Mode.CALL:
                return self._close()
            case _Mode.PLAIN:
                return self._release(len(self._held)) or None

    def _begin(self) -> str | None:
        is_calls = could_begin_calls(self._held, self._names)
        if is_calls is None:
            return None
        self._mode = _Mode.WHOLE if is_calls else _Mode.TEXT
        return ""

    def _pass(self) -> str | None:
        at = self._held.find(OPEN)
        if at >= 0 and len(self.calls) < CALLS_MAX:
            is_blank = self._drops_blank and not self._held[:at].strip()
            released = "" if is_blank else self._release(at)
            self._mode = _Mode.CALL
            self._body = self._searched = self._held.find(OPEN) + len(OPEN)
            self._closes = 0
            return released
        sure = len(self._held) - _overlap(self._held, OPEN)
        if self._drops_blank and not self._held[:sure].strip():
            return None
        self._drops_blank = False
        return self._release(sure) or None

    def _close(self) -> str | None:
        at = self._held.find(CLOSE, self._searched)
        if at < 0:
            self._searched = max(self._body, len(self._held) - len(CLOSE) + 1)
            return None
        self._searched = at + len(CLOSE)
        self._closes += 1
        return self._end(at, self._searched, has_more=self._closes < CLOSES_MAX)

    def _end(self, body_end: int, end: int, *, has_more: bool) -> str:
        """End the call there, or go on in it, or let its beginning go as text."""
        try:
            call = call_in(self._held[self._body : body_end], self._names, self._new_id)
        except UnfinishedError:
            if has_more:
                return ""
            call = None
        self._mode = _Mode.TEXT
        self._drops_blank = call is not None
        if call is None:
            return self._release(self._body)
        self.calls.append(call)
        self._release(end)
        return ""

    def _release(self, end: int) -> str:
        text, self._held = self._held[:end], self._held[end:]
        return text


def _overlap(text: str, tag: str) -> int:
    """Return the length of the longest end of `text` that begins `tag`."""
    lengths = range(min(len(text), len(tag) - 1), 0, -1)
    return next((length for length in lengths if text.endswith(tag[:length])), 0)
