"""The user's own queen: is it there, start it, talk to it."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from importlib.metadata import version

from rbee_client import Client
from rbee_keeper import output
from rbee_keeper.display import Display, opened_display
from rbee_shared.errors import AlreadyExistsError, RbeeError, UnavailableError
from rbee_shared.lifecycle import launch, lock
from rbee_shared.lifecycle.lock import Holder
from rbee_shared.limits import START_TIMEOUT_S
from rbee_shared.narration.narrate import add_sink, set_actor
from rbee_shared.paths import Paths, resolve
from rbee_shared.rpc.channel import connected

NAME = "queen"
POLL_S = 0.02
STOP_GRACE_S = 30.0  # it stops its workers first


class QueenSilentError(UnavailableError):
    """A queen is starting, or hangs: its lock is held, and it does not say where it listens."""

    reason = "QUEEN_SILENT"
    hint = "`rbee queen logs` has what it wrote; `rbee queen stop` ends it"


def paths() -> Paths:
    """Return this user's folders, made if need be."""
    return resolve().create()


def running() -> Holder | None:
    """Return who the queen is; None if none runs."""
    return lock.holder_of(resolve().lock(NAME))


async def ensure(display: Display, *, separate_hive: bool = False) -> tuple[Holder, bool]:
    """Have a queen run; return it, and whether it was started now.

    Raises:
        RbeeError: why it cannot start.
    """
    lock_file = paths().lock(NAME)
    if lock.is_held(lock_file):
        return await _published(), False
    set_actor("keeper")
    add_sink(display.narrate)
    arguments = ["--separate-hive"] if separate_hive else []
    try:
        await launch.launch("rbee_queen", arguments, name=NAME, log_file=paths().log_file(NAME))
    except AlreadyExistsError:
        return await _published(), False  # another keeper was quicker
    return await _published(), True


@asynccontextmanager
async def client(
    display: Display | None = None, *, separate_hive: bool = False
) -> AsyncGenerator[Client]:
    """Talk to the queen for the block; it is started if none runs.

    Raises:
        RbeeError: why it cannot start.
    """
    async with AsyncExitStack() as stack:
        if display is None:
            display = stack.enter_context(opened_display(as_json=False, verbose=False))
        holder, _ = await ensure(display, separate_hive=separate_hive)
        if holder.version != version("rbee"):
            output.say(
                f"note: the queen is version {holder.version}, this is {version('rbee')};"
                " `rbee queen stop` lets the next command start the new one"
            )

        told: RbeeError | None = None

        async def come_back(why: RbeeError) -> None:
            nonlocal told
            if why is not told:
                told = why
                output.say("the connection to the queen broke; taking the story up again")
            await ensure(display, separate_hive=separate_hive)

        channel = await stack.enter_async_context(connected(holder.address))
        yield Client(channel, lost=come_back)


async def _published() -> Holder:
    lock_file = paths().lock(NAME)
    try:
        async with asyncio.timeout(START_TIMEOUT_S):
            while True:  # another process writes it: there is no event to wait for
                if holder := lock.holder_of(lock_file):
                    return holder
                await asyncio.sleep(POLL_S)
    except TimeoutError:
        raise QueenSilentError("the queen does not say where it listens") from None
