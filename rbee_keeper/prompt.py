"""What a person asks: words of the command line and what is piped in."""

import codecs
import sys

from rbee_shared.errors import InvalidArgumentError
from rbee_shared.limits import PROMPT_CHARS_MAX


def joined(prompt: str, stdin: str) -> str:
    """Return the prompt of argument and standard input, an empty line between them.

    Raises:
        InvalidArgumentError: there is neither, or it is too long.
    """
    text = "\n\n".join(part for part in (prompt, stdin.rstrip("\n")) if part.strip())
    if not text:
        raise InvalidArgumentError(
            "there is no prompt",
            reason="PROMPT_MISSING",
            hint='rbee run MODEL "your question", or pipe it in',
        )
    if len(text) > PROMPT_CHARS_MAX:
        raise InvalidArgumentError(
            f"the prompt has {len(text)} characters, at most {PROMPT_CHARS_MAX} are taken",
            reason="PROMPT_TOO_LONG",
        )
    return text


def read_stdin() -> str:
    """Return what is piped in, at most a little more than is taken; nothing from a terminal.

    Raises:
        InvalidArgumentError: it is no text.
    """
    if sys.stdin is None or sys.stdin.closed or sys.stdin.isatty():
        return ""
    try:
        # bytes, since Python would let through what is no text; a character has at most 4
        data = sys.stdin.buffer.read(4 * PROMPT_CHARS_MAX + 1)
        is_whole = len(data) <= 4 * PROMPT_CHARS_MAX  # else the last character may be cut
        return codecs.getincrementaldecoder("utf-8")().decode(data, final=is_whole)
    except UnicodeDecodeError as error:
        raise InvalidArgumentError(
            "standard input is not UTF-8 text", reason="PROMPT_NOT_TEXT"
        ) from error
