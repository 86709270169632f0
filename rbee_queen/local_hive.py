"""The hive that lives in the queen's own process. The one file here that may import rbee_hive."""

from collections.abc import AsyncGenerator, Callable, Coroutine, Generator
from contextlib import aclosing, asynccontextmanager
from contextvars import Context, copy_context
from functools import partial
from typing import Any, TypeVar

from rbee.v1 import hive_pb2, operation_pb2
from rbee_hive.hive import opened_hive
from rbee_hive.operations import execute
from rbee_shared.errors import UnavailableError, known
from rbee_shared.ids import LOCALHOST
from rbee_shared.jobs.log import told_by
from rbee_shared.jobs.runner import Execute
from rbee_shared.narration.narrate import set_component
from rbee_shared.paths import Paths
from rbee_shared.settings import Settings

EMBEDDED = "embedded"

T = TypeVar("T")
Snapshots = Callable[[], AsyncGenerator[hive_pb2.HiveSnapshot]]


class LocalHive:
    """A hive that is called, not dialled. Made by `embedded_hive`."""

    def __init__(self, name: str, execute: Execute, snapshots: Snapshots) -> None:
        self._name = name
        self._do = execute
        self._snapshots = snapshots

    @property
    def name(self) -> str:
        """The hive's name."""
        return self._name

    @property
    def address(self) -> str:
        """How it is reached, for people."""
        return EMBEDDED

    async def run(self, operation: operation_pb2.Operation) -> operation_pb2.Result:
        """Do one operation in a context of its own, so that none can leak out of it.

        Raises:
            RbeeError: why it cannot be done.
        """
        told_by(self.name, 0)
        try:
            return await _Apart(self._execute(operation), copy_context())
        except ExceptionGroup as group:
            raise known(group) or group from None

    async def _execute(self, operation: operation_pb2.Operation) -> operation_pb2.Result:
        set_component("hive")
        return await self._do(operation)

    async def resume(self, operation: str, after_sequence: int) -> operation_pb2.Result:
        """Refuse: what ran in an earlier queen's process ended with it.

        Raises:
            UnavailableError: always.
        """
        raise UnavailableError(
            f"the queen ended in the middle of `{operation}`, and its own hive with it",
            reason="QUEEN_RESTARTED",
            hint="run it again; a hive with a process of its own would have gone on",
        )

    async def watch(self) -> AsyncGenerator[hive_pb2.HiveSnapshot]:
        """Yield snapshots for ever.

        Raises:
            UnavailableError: the hive cannot look at its own files.
        """
        try:
            async with aclosing(self._snapshots()) as snapshots:
                async for snapshot in snapshots:
                    yield snapshot
        except OSError as error:
            raise UnavailableError(f"it cannot see its files: {error}") from error


class _Apart(Generator[Any, Any, T]):
    """A coroutine that the awaiting task itself runs, step by step, in another context.

    What it sets stays there; whoever cancels the task cancels it. A task for each call gives the
    same and takes three times as long, more than what most lookups do in it.
    """

    def __init__(self, work: Coroutine[Any, Any, T], context: Context) -> None:
        self._work = work
        self._context = context

    def __await__(self) -> Generator[Any, Any, T]:
        return self

    def __next__(self) -> Any:
        return self._context.run(self._work.send, None)

    def send(self, value: Any) -> Any:
        """Go on to where it waits next."""
        return self._context.run(self._work.send, value)

    def throw(self, kind: Any, error: Any = None, _: Any = None) -> Any:
        """Go on with an error, a cancel for one."""
        return self._context.run(self._work.throw, kind if error is None else error)

    def close(self) -> None:
        """End it where it waits."""
        self._context.run(self._work.close)


@asynccontextmanager
async def embedded_hive(paths: Paths, settings: Settings) -> AsyncGenerator[LocalHive]:
    """Open this machine's hive inside this process for the block."""
    async with opened_hive(LOCALHOST, paths, settings) as hive:
        yield LocalHive(hive.name, partial(execute, hive), hive.snapshots)
