r"""Secrets and control characters are taken out of every text, once, where an event is made.

Redacted: bearer tokens, `hf_` tokens, and the value behind key/token/secret/password with `=` or
`:`. Removed: C0 and C1 controls, ANSI escape sequences, bidirectional overrides, zero-width
characters, byte order marks. Lengths are bounded; what is cut is marked with an ellipsis.
"""

import re
from dataclasses import replace

from rbee_shared.narration.event import Field, Narration

TEXT_LENGTH_MAX = 2_000
NAME_LENGTH_MAX = 64
FIELD_COUNT_MAX = 32
REDACTED = "[REDACTED]"

_SECRETS = (
    (re.compile(r"(?i)\b(bearer)\s+[^\s\"',;]+"), rf"\1 {REDACTED}"),
    (re.compile(r"\bhf_[A-Za-z0-9]{8,}"), REDACTED),
    (
        re.compile(
            r"(?i)\b([a-z0-9_-]*(?:api[_-]?key|token|secret|password|passwd)|key)"
            r"([\"']?\s*[=:]\s*[\"']?)(?!\[REDACTED\])[^\s\"',;&]+"
        ),
        rf"\1\2{REDACTED}",
    ),
)
_ANSI = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[@-Z\\-_])")
_INVISIBLE = re.compile(
    "[\x00-\x1f\x7f-\x9f\u00ad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ufff9-\ufffb]"
)
_SPACES = re.compile(r"[\t\r\n]+")
_NAME = re.compile(r"[^A-Za-z0-9_.:-]")


def clean_text(text: str, length_max: int = TEXT_LENGTH_MAX) -> str:
    """Return `text` on one line, printable, without secrets, at most `length_max` characters."""
    text = text[: 4 * length_max]  # bounds the work on hostile input before any pattern runs
    text = _INVISIBLE.sub("", _SPACES.sub(" ", _ANSI.sub("", text)))
    for pattern, replacement in _SECRETS:
        text = pattern.sub(replacement, text)
    return text if len(text) <= length_max else text[: length_max - 1] + "…"


def clean_name(name: str) -> str:
    """Return an actor's or action's name in ASCII, at most `NAME_LENGTH_MAX` characters."""
    return _NAME.sub("_", name)[:NAME_LENGTH_MAX]


def clean(narration: Narration) -> Narration:
    """Return the narration with every text cleaned. Idempotent."""
    fields: dict[str, Field] = {
        clean_name(name): clean_text(value) if isinstance(value, str) else value
        for name, value in list(narration.fields.items())[:FIELD_COUNT_MAX]
    }
    return replace(
        narration,
        actor=clean_name(narration.actor),
        action=clean_name(narration.action),
        target=clean_text(narration.target),
        human=clean_text(narration.human),
        cute=clean_text(narration.cute),
        story=clean_text(narration.story),
        correlation_id=clean_name(narration.correlation_id),
        fields=fields,
    )
