"""All that the queen knows of a hive: how to run an operation there, and how to watch it."""

from collections.abc import AsyncGenerator
from typing import Protocol

from rbee.v1 import hive_pb2, operation_pb2


class HiveLink(Protocol):
    """One hive, in this process or far away. Tests run against both kinds."""

    @property
    def name(self) -> str:
        """The hive's name."""
        ...

    @property
    def address(self) -> str:
        """How it is reached, for people."""
        ...

    async def run(self, operation: operation_pb2.Operation) -> operation_pb2.Result:
        """Do one operation there, for the current job: all that it tells goes to that job's log.

        Cancelling the caller stops the work on the hive.

        Raises:
            RbeeError: why it cannot be done.
        """
        ...

    async def resume(self, operation: str, after_sequence: int) -> operation_pb2.Result:
        """Go on with the current job, which an earlier queen ran there.

        Args:
            operation: its kind, for people.
            after_sequence: how much of the hive's story of it is known.

        Raises:
            RbeeError: why it ended, or why it cannot be gone on with.
        """
        ...

    def watch(self) -> AsyncGenerator[hive_pb2.HiveSnapshot]:
        """Yield snapshots for as long as the hive can be heard.

        Raises:
            UnavailableError: it cannot be heard, or not any more.
        """
        ...
