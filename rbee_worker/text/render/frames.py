"""What a worker and its renderer say to each other: a length, then JSON, over two pipes."""

import json
import struct
from typing import IO, Any

FRAME_BYTES_MAX = 32 * 1024 * 1024
RENDERED_CHARS_MAX = 4_000_000
HEADER = struct.Struct(">I")

READY = "ready"
TEXT = "text"
REFUSED = "refused"
FAULT = "fault"


class FrameTooLongError(ValueError):
    """A message is longer than any that makes sense."""


def framed(value: Any) -> bytes:
    """Return a message.

    Raises:
        FrameTooLongError: it is too long.
        ValueError: a text in it is none.
    """
    body = json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
    if len(body) > FRAME_BYTES_MAX:
        raise FrameTooLongError(f"over {FRAME_BYTES_MAX} bytes")
    return HEADER.pack(len(body)) + body


def read_frame(pipe: IO[bytes]) -> Any:
    """Wait for a message and return it.

    Raises:
        EOFError: the other side has ended.
        ValueError: it is no message.
    """
    (length,) = HEADER.unpack(_read(pipe, HEADER.size))
    if length > FRAME_BYTES_MAX:
        raise FrameTooLongError(f"over {FRAME_BYTES_MAX} bytes")
    return json.loads(_read(pipe, length))


def _read(pipe: IO[bytes], count: int) -> bytes:
    data = pipe.read(count)
    if len(data) < count:
        raise EOFError
    return data
