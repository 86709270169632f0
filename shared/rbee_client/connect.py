"""Finding the queen."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from rbee_client.client import Client
from rbee_shared.errors import UnavailableError
from rbee_shared.lifecycle import lock
from rbee_shared.paths import resolve
from rbee_shared.rpc.channel import connected


class QueenNotRunningError(UnavailableError):
    """This user's queen does not run."""

    reason = "QUEEN_NOT_RUNNING"
    hint = "`rbee queen start` starts it"


@asynccontextmanager
async def connect(target: str = "", *, token: str = "") -> AsyncGenerator[Client]:
    """Talk to a queen for the block: this user's own, or the one at `target`.

    Args:
        target: `host:port` or `unix:/path`; empty for this user's own queen.
        token: the owner's token, which TCP asks for; `rbee status` shows its file.

    Raises:
        QueenNotRunningError: this user's queen does not run.
    """
    if not target:
        holder = lock.holder_of(resolve().lock("queen"))
        if holder is None:
            raise QueenNotRunningError("the queen does not run")
        target = holder.address
    async with connected(target) as channel:
        yield Client(channel, token=token)
