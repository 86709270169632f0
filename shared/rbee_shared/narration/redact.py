r"""Secrets and control characters are taken out of every text, once, where an event is made.

Redacted: bearer tokens and other authorizations, `hf_` tokens, a password in an address, the value
behind key/token/secret/password with `=` or `:`, or of a flag of such a name, and the text of a
field of such a name. Removed: C0 and C1 controls, ANSI escape sequences,
bidirectional overrides, zero-width and tag characters, byte order marks, lone surrogates. Lengths
and numbers are bounded by what the wire takes; what is cut is marked with an ellipsis.

Every pattern takes time in proportion to the text: a run of word characters is entered only at its
beginning, and no two repetitions that follow each other match the same character.
"""

import math
import re
from collections.abc import Mapping
from itertools import islice

from rbee_shared.narration.event import Field, Narration, Progress

TEXT_LENGTH_MAX = 2_000
NAME_LENGTH_MAX = 64
FIELD_COUNT_MAX = 32
INTEGER_MAX = 2**63 - 1
TIME_S_MAX = 253_402_300_799.0  # the end of the year 9999
RATE_MAX = 1e18
REMAINING_S_MAX = 100 * 365 * 86_400.0
REDACTED = "[REDACTED]"

_SENSITIVE = (
    r"[a-z0-9_-]*(?:token|secret|password|passwd|passphrase|[_-]key"
    r"|(?:api|access|auth|secret|private|signing|encryption)key)|key"
)
_VALUE = r"(?![\\\"']*\[REDACTED\])\\*(?:\"[^\"]+\"?|'[^']+'?|[^\s\"',;&]+)"
_SENSITIVE_FIELD = re.compile(_SENSITIVE, re.IGNORECASE)
_BEARER = re.compile(rf"(?i)\b(bearer)(?:\s*[=:]\s*|\s+){_VALUE}")
_AUTHORIZATION = re.compile(
    rf"(?i)(authorization)(\\*[\"']?\s*[=:]\s*\\*[\"']?)(?:(?:bearer|basic|digest|token)\s+)?{_VALUE}"
)
_HF_TOKEN = re.compile(r"hf_[A-Za-z0-9]{8,}")
_ADDRESS = re.compile(r"(://[^/\s:@]*):(?!\[REDACTED\])[^/\s@]+@")
_PAIR = re.compile(rf"(?i)(?<![a-z0-9_-])({_SENSITIVE})(\\*[\"']?\s*[=:]\s*){_VALUE}")
_FLAG = re.compile(rf"(?i)(?<![a-z0-9_-])(--(?:{_SENSITIVE}))\s+(?!-){_VALUE}")
_ANSI = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[@-Z\\-_])")
_INVISIBLE = re.compile(
    "[\x00-\x1f\x7f-\x9f\u00ad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ud800-\udfff"
    "\ufeff\ufff9-\ufffb\U000e0000-\U000e007f]"
)
_COMMANDING = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
_SPACES = re.compile(r"[\t\r\n]+")
_NAME = re.compile(r"[^A-Za-z0-9_.:-]")


def clean_text(text: str, length_max: int = TEXT_LENGTH_MAX) -> str:
    """Return `text` on one line, printable, without secrets, at most `length_max` characters."""
    text = text[: 4 * length_max]  # bounds the work on hostile input before any pattern runs
    if not text.isprintable():
        text = _INVISIBLE.sub("", _SPACES.sub(" ", _ANSI.sub("", text)))
    # what no pattern can do without is looked for first: that costs a tenth of the pattern
    lower = text.lower()
    if "authorization" in lower:
        text = _AUTHORIZATION.sub(rf"\1\2{REDACTED}", text)
    if "bearer" in lower:
        text = _BEARER.sub(rf"\1 {REDACTED}", text)
    if "hf_" in text:
        text = _HF_TOKEN.sub(REDACTED, text)
    if "=" in text or ":" in text:
        text = _PAIR.sub(rf"\1\2{REDACTED}", text)
    if "--" in text:
        text = _FLAG.sub(rf"\1 {REDACTED}", text)
    if "://" in text:
        text = _ADDRESS.sub(rf"\1:{REDACTED}@", text)
    return text if len(text) <= length_max else text[: length_max - 1] + "…"


def strip_controls(text: str) -> str:
    """Return `text` without what could command a terminal; line ends and tabs stay."""
    return _COMMANDING.sub("", _ANSI.sub("", text))


def clean_name(name: str) -> str:
    """Return an actor's or action's name in ASCII, at most `NAME_LENGTH_MAX` characters."""
    return _NAME.sub("_", name)[:NAME_LENGTH_MAX]


def clean_fields(fields: Mapping[str, Field]) -> dict[str, Field]:
    """Return the first `FIELD_COUNT_MAX` fields, each cleaned; what is named a secret is one."""
    return {
        clean_name(name): _clean_field(name, value)
        for name, value in islice(fields.items(), FIELD_COUNT_MAX)
    }


def clean(narration: Narration) -> Narration:
    """Return the narration with every text cleaned. Idempotent."""
    progress = narration.progress
    return Narration(
        actor=clean_name(narration.actor),
        action=clean_name(narration.action),
        target=clean_text(narration.target),
        human=clean_text(narration.human),
        cute=clean_text(narration.cute),
        story=clean_text(narration.story),
        level=narration.level,
        correlation_id=clean_name(narration.correlation_id),
        fields=clean_fields(narration.fields),
        time_s=narration.time_s if 0.0 <= narration.time_s <= TIME_S_MAX else 0.0,
        progress=None if progress is None else _clean_progress(progress),
    )


def _clean_field(name: str, value: Field) -> Field:
    if isinstance(value, str):
        return REDACTED if _SENSITIVE_FIELD.fullmatch(name) and value else clean_text(value)
    if isinstance(value, int):
        return max(-INTEGER_MAX, min(value, INTEGER_MAX))
    return value


def _clean_progress(progress: Progress) -> Progress:
    return Progress(
        done=max(0, min(progress.done, INTEGER_MAX)),
        total=max(0, min(progress.total, INTEGER_MAX)),
        unit=clean_text(progress.unit, NAME_LENGTH_MAX),
        rate=_clean_number(progress.rate, RATE_MAX),
        remaining_s=None
        if progress.remaining_s is None
        else _clean_number(progress.remaining_s, REMAINING_S_MAX),
    )


def _clean_number(value: float, maximum: float) -> float:
    return max(0.0, min(float(value), maximum)) if math.isfinite(value) else 0.0
