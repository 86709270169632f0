"""The ready line: the one line a daemon prints on stdout once it can take calls."""

import json
import sys
from dataclasses import asdict, dataclass


@dataclass(frozen=True, slots=True)
class Ready:
    """What a parent needs to know of the process it started. `address` is a gRPC target."""

    address: str
    pid: int


def announce(ready: Ready) -> None:
    """Print the ready line. A parent that sees it may call at once."""
    sys.stdout.write(json.dumps({"ready": asdict(ready)}) + "\n")
    sys.stdout.flush()


def parse(line: str) -> Ready | None:
    """Read a ready line; None if it is not one."""
    if not line.startswith('{"ready"'):
        return None
    try:
        values = json.loads(line)["ready"]
        return Ready(address=str(values["address"]), pid=int(values["pid"]))
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
        return None
