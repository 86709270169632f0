"""A link between two processes that a test can cut: a proxy from one unix socket to another."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

CHUNK_BYTES = 65_536


class Link:
    """One link. While it is down, whoever connects is turned away. Made by `linked`."""

    def __init__(self, target: Path) -> None:
        self._target = target
        self._writers: set[asyncio.StreamWriter] = set()
        self.down = False

    def cut(self) -> None:
        """Break all connections now."""
        for writer in self._writers:
            writer.transport.abort()

    async def interrupt(self, down_s: float) -> None:
        """Break all connections, and let nobody through for that long."""
        self.down = True
        self.cut()
        await asyncio.sleep(down_s)
        self.down = False

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Carry one connection."""
        if self.down:
            writer.transport.abort()
            return
        try:
            far_reader, far_writer = await asyncio.open_unix_connection(self._target)
        except OSError:
            writer.transport.abort()
            return
        self._writers |= {writer, far_writer}
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(_carry(reader, far_writer))
                tasks.create_task(_carry(far_reader, writer))
        finally:
            self._writers -= {writer, far_writer}


async def _carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while chunk := await reader.read(CHUNK_BYTES):
            writer.write(chunk)
            await writer.drain()
    writer.transport.abort()


@asynccontextmanager
async def linked(source: Path, target: Path) -> AsyncGenerator[Link]:
    """Carry connections from `source` to `target` for the block."""
    link = Link(target)
    server = await asyncio.start_unix_server(link.serve, source)
    try:
        yield link
    finally:
        link.down = True
        link.cut()
        server.close()
