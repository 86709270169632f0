"""What people may read of a template's fault: never what somebody wrote in a conversation.

An error goes into jobs and logs, and a template's errors can hold what it worked on. So of its
message those words are told that the template has itself.
"""

import re
from types import TracebackType

import jinja2

from rbee_worker.text.render.environment import RenderedTooLongError

TOLD_CHARS_MAX = 200
WORD = re.compile(r"\w+")
HIDDEN = "…"
PLAIN_WORDS = frozenset(  # of what jinja2 and Python say themselves
    WORD.findall(
        "a access an attribute can codec could dict division element encode filter has int is "
        "iterable len list no not object of or out position range str surrogates t test the this "
        "to type undefined unsafe with zero"
    )
)
TEMPLATE_FILE = "<template>"


def told(message: str, source: str) -> str:
    """Return a message without the words that are not the template's."""
    known = PLAIN_WORDS | set(WORD.findall(source))
    return WORD.sub(lambda word: word[0] if word[0] in known else HIDDEN, message[:TOLD_CHARS_MAX])


def described(error: Exception, source: str) -> str:
    """Return what a template ran into, where, and what was said about it."""
    match error:
        case jinja2.TemplateSyntaxError():  # found before there was a conversation
            return f"{error.message} in line {error.lineno}"[:TOLD_CHARS_MAX]
        case SyntaxError():
            return f"{error.msg}"[:TOLD_CHARS_MAX]
        case RecursionError():
            return "it nests too deeply"
        case RenderedTooLongError():
            return str(error)
        case _:
            line = _line(error.__traceback__)
            where = f" in line {line}" if line else ""
            return f"{type(error).__name__}{where}: {told(str(error), source)}"


def _line(traceback: TracebackType | None) -> int | None:
    line = None
    while traceback is not None:
        if traceback.tb_frame.f_code.co_filename == TEMPLATE_FILE:
            line = traceback.tb_lineno
        traceback = traceback.tb_next
    return line
