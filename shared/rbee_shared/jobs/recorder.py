"""The seam to whatever writes jobs down, so that they outlive their process."""

from typing import Protocol

from rbee_shared.jobs.log import JobLog
from rbee_shared.jobs.registry import JobEntry


class Recorder(Protocol):
    """Writes jobs down. A recorded job's events are announced once they are written."""

    def check(self) -> None:
        """Make sure that a new job could be written down.

        Raises:
            RbeeError: why it could not.
        """
        ...

    def record(self, entry: JobEntry, log: JobLog) -> None:
        """Write down a job from here on, to its end."""
        ...
