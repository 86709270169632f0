"""The seam between a job's story and those who watch it."""

from collections.abc import AsyncGenerator, Callable
from typing import Protocol

from rbee.v1 import job_pb2


class EventLog(Protocol):
    """The story of one job as its watchers see it, from memory or from a recording."""

    @property
    def last_sequence(self) -> int:
        """The newest sequence; 0 while nothing was said."""
        ...

    @property
    def origin(self) -> tuple[str, int]:
        """The hive whose story is poured into this one, and how far; an empty name for none."""
        ...

    def follow(
        self, after: int, pause_s: Callable[[], float]
    ) -> AsyncGenerator[list[job_pb2.JobEvent]]:
        """Yield the events after that sequence, then those to come, until the job has ended.

        While there is nothing to say, an empty list each `BOOKMARK_S` says that.

        Args:
            after: the last sequence that the watcher has; 0 for all.
            pause_s: the least time between two yields, asked for each.
        """
        ...
