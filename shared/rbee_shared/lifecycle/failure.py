"""The failure line: how a child process tells its parent the error that ends it.

A process whose parent asked for JSON lines writes `{"failure": {...}}` on stdout as its last word,
so that kind, reason and hint survive the process boundary. For people it is two lines on stderr.
"""

import json
import os
import sys

from rbee_shared.errors import RbeeError, rebuild
from rbee_shared.narration.line import FORMAT_VARIABLE, JSON_FORMAT
from rbee_shared.narration.redact import clean_name, clean_text


def write(error: RbeeError) -> None:
    """Tell the parent, or a person, why this process ends."""
    message, hint = clean_text(str(error)), clean_text(error.hint)
    if os.environ.get(FORMAT_VARIABLE) == JSON_FORMAT:
        values = {
            "pid": os.getpid(),
            "code": error.code,
            "reason": error.reason,
            "message": message,
            "hint": hint,
        }
        sys.stdout.write(json.dumps({"failure": values}) + "\n")
        sys.stdout.flush()
        return
    sys.stderr.write(f"error: {message}\n" + (f"hint: {hint}\n" if hint else ""))


def parse(line: str, *, pid: int) -> RbeeError | None:
    """Read the failure line of the process `pid`; None if it is not one."""
    if not line.startswith('{"failure"'):
        return None
    try:
        values = json.loads(line)["failure"]
        if int(values["pid"]) != pid:
            return None
        return rebuild(
            int(values["code"]),
            clean_name(str(values["reason"])),
            clean_text(str(values["message"])),
            clean_text(str(values["hint"])),
        )
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
        return None
