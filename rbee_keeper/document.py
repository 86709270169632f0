"""JSON that a terminal may be shown: what could command it, or hide, is escaped.

JSON itself escapes C0 only. A program reads the same values either way.
"""

import json
import re
from typing import Any

_UNSEEN = re.compile(
    "[\x7f-\x9f\u00ad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ud800-\udfff"
    "\ufeff\ufff9-\ufffb\U000e0000-\U000e007f]"
)


def to_json(document: Any, *, indent: int | None = None) -> str:
    """Return a document as JSON, on one line if `indent` is None."""
    return shown(json.dumps(document, indent=indent, ensure_ascii=False))


def shown(text: str) -> str:
    """Return JSON text with every invisible character as its escape; values stay the same."""
    return _UNSEEN.sub(lambda match: json.dumps(match[0])[1:-1], text)
