"""Text that people write, kept from passing for a template's control tokens.

Before a template works on a conversation, each control token that somebody wrote is hidden behind
a mark that nobody can know; afterwards the marks say which text is not the template's. A beginning
of one at the end of a text is hidden too: what follows it could make it whole.
"""

import re
import secrets
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, cast

from rbee_shared.errors import InvalidArgumentError
from rbee_worker.text.control_tokens import ControlTokens

NESTING_MAX = 64
NONCE_BITS = 64
NONCE_DIGITS = 20  # digits alone survive what templates do: upper, title, tojson
NUMBER_DIGITS = 6


@dataclass(frozen=True, slots=True)
class Part:
    """A part of what a template wrote, and whether it was hidden from it."""

    text: str
    is_hidden: bool


class Guard:
    """What was hidden of one conversation."""

    def __init__(self, control: ControlTokens) -> None:
        """Begin with nothing."""
        self._control = control
        self._nonce = f"{secrets.randbits(NONCE_BITS):0{NONCE_DIGITS}d}"
        self._hidden: list[str] = []
        self._marks: dict[str, str] = {}

    @property
    def has_hidden(self) -> bool:
        """Whether there was anything to hide."""
        return bool(self._hidden)

    def hide(self, value: Any) -> Any:
        """Return a value as JSON has them, with all control tokens in its texts hidden.

        Raises:
            InvalidArgumentError: it nests too deeply.
        """
        return self._without(value, NESTING_MAX)

    def parts(self, rendered: str) -> Iterator[Part]:
        """Yield what a template wrote, with everything hidden as it was."""
        pattern = re.escape(self._nonce) + f"([0-9]{{{NUMBER_DIGITS}}})"
        for place, text in enumerate(re.split(pattern, rendered)):
            is_hidden = place % 2 == 1
            yield Part(self._hidden[int(text)] if is_hidden else text, is_hidden)

    def _without(self, value: Any, nesting: int) -> Any:
        if nesting < 0:
            raise InvalidArgumentError(
                f"a message or tool nests over {NESTING_MAX} levels deep", reason="NESTING_TOO_DEEP"
            )
        match value:
            case str():
                return self._hide_text(value)
            case Mapping():
                pairs = cast("Mapping[Any, Any]", value).items()
                return {
                    self._without(key, nesting): self._without(each, nesting - 1)
                    for key, each in pairs
                }
            case list() | tuple():
                return [self._without(each, nesting - 1) for each in cast("list[Any]", value)]
            case _:
                return value

    def _hide_text(self, text: str) -> str:
        pieces: list[str] = []
        at = 0
        for found in self._control.find(text):
            pieces += [text[at : found.start], self._mark(text[found.start : found.end])]
            at = found.end
        rest = text[at:]
        end = len(rest.rstrip())  # a template may trim it
        begun = self._control.begun_at(rest, end)
        if begun < end:
            rest = rest[:begun] + self._mark(rest[begun:end]) + rest[end:]
        return "".join([*pieces, rest])

    def _mark(self, text: str) -> str:
        if text not in self._marks:
            self._marks[text] = f"{self._nonce}{len(self._hidden):0{NUMBER_DIGITS}d}"
            self._hidden.append(text)
        return self._marks[text]
