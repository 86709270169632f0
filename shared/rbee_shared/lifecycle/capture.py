"""Lines of a child's pipe: bounded, whatever it writes."""

import asyncio
from collections.abc import AsyncGenerator

from rbee_shared.limits import LINE_BYTES_MAX

CHUNK_BYTES = 32 * 1024


async def lines_of(stream: asyncio.StreamReader) -> AsyncGenerator[str]:
    """Yield the lines of `stream` to its end, without their ends; the last may be partial.

    A line longer than `LINE_BYTES_MAX` is cut and the rest of it is dropped; invalid UTF-8 is
    replaced; empty lines are left out.
    """
    rest = b""
    cut = False  # the line that `rest` begins was already given, as far as it fits
    while chunk := await stream.read(CHUNK_BYTES):
        *whole, rest = (rest + chunk).split(b"\n")
        for each in whole:
            if not cut and each.strip():
                yield _text(each)
            cut = False
        if len(rest) > LINE_BYTES_MAX:
            if not cut:
                yield _text(rest)
            rest, cut = b"", True
    if rest.strip() and not cut:
        yield _text(rest)


def _text(line: bytes) -> str:
    return line[:LINE_BYTES_MAX].decode(errors="replace").rstrip("\r")
