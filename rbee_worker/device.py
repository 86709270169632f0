"""The device that the user chose, from its text."""

import re
from dataclasses import dataclass

from rbee_shared.errors import InvalidArgumentError

_FORM = re.compile(r"(cpu|cuda)(?::(\d{1,3}))?")


@dataclass(frozen=True, slots=True)
class Device:
    """A device of this machine."""

    kind: str
    index: int

    def __str__(self) -> str:
        """Return how it is asked for."""
        return f"{self.kind}:{self.index}"


def parse(text: str) -> Device:
    """Read `cpu`, `cpu:0` or `cuda:N`.

    Raises:
        InvalidArgumentError: it is none of these.
    """
    match = _FORM.fullmatch(text)
    if match is None or (match[1] == "cpu" and match[2] not in (None, "0")):
        raise InvalidArgumentError(
            "the device is malformed", reason="DEVICE_MALFORMED", hint="`cpu:0`, or `cuda:0`"
        )
    return Device(match[1], int(match[2] or 0))
