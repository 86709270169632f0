"""The user's own queen: is it there, start it, talk to it."""

import asyncio
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager
from importlib.metadata import version

from rbee_client import Client
from rbee_keeper import output
from rbee_keeper.display import Display, opened_display
from rbee_keeper.voice import chosen
from rbee_shared.errors import AlreadyExistsError, RbeeError, UnavailableError
from rbee_shared.lifecycle import launch, lock
from rbee_shared.lifecycle.lock import Holder
from rbee_shared.limits import START_TIMEOUT_S
from rbee_shared.narration.event import Level
from rbee_shared.narration.narrate import heard_by, narrate, set_actor
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


async def ensure(
    display: Display | None = None, *, separate_hive: bool = False
) -> tuple[Holder, bool]:
    """Have a queen run; return it, and whether it was started now.

    Its start is drawn on `display`, or on one of its own.

    Raises:
        RbeeError: why it cannot start.
    """
    set_actor("keeper")
    lock_file = paths().lock(NAME)
    if lock.is_held(lock_file):
        return await _published(), False
    arguments = ["--separate-hive"] if separate_hive else []
    log_file = paths().log_file(NAME)
    try:
        with _drawn_on(display) as drawing, heard_by(drawing.narrate):
            await launch.launch("rbee_queen", arguments, name=NAME, log_file=log_file)
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
    holder, _ = await ensure(display, separate_hive=separate_hive)
    if holder.version != version("rbee"):
        output.say(
            f"note: the queen is version {holder.version}, this is {version('rbee')};"
            " `rbee queen stop` lets the next command start the new one"
        )

    told: RbeeError | None = None

    async def come_back(why: RbeeError) -> None:
        nonlocal told
        with _drawn_on(display) as drawing:
            if why is not told:
                told = why
                _tell_broken(drawing)
            await ensure(drawing, separate_hive=separate_hive)

    async with connected(holder.address) as channel:
        yield Client(channel, lost=come_back)


def _tell_broken(display: Display) -> None:
    with heard_by(display.narrate):
        narrate(
            "queen_reconnect",
            "the connection to the queen broke; taking the story up again",
            level=Level.WARN,
            cute="the queen's hum broke off; flying back to her",
            story='"Where did you go?" you ask the queen. "Go on, please"',
        )


@contextmanager
def _drawn_on(display: Display | None) -> Generator[Display]:
    if display is not None:
        yield display
        return
    with opened_display(as_json=False, verbose=False, mode=chosen(None)) as drawing:
        yield drawing


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
