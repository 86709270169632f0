"""The one contextvar: which job the code that runs now works for.

It is set in two places only: by the server interceptor, from a call's metadata, and by the job
runner, for the task that does the job. Tasks, TaskGroups and `asyncio.to_thread` inherit it, so no
function ever takes a job id in order to tell something.
"""

from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Protocol

from rbee_shared.narration.event import Narration


class Story(Protocol):
    """Where the tellings of one job go: its event log. Both may be called from any thread."""

    def narrate(self, narration: Narration) -> None:
        """Append one narration; never blocks."""
        ...

    def complete(self, completion: Any) -> None:
        """Append tokens of an answer (a `rbee.v1.Completion`); never blocks."""
        ...


@dataclass(frozen=True, slots=True)
class JobContext:
    """What travels with a job. `deadline_s` is on the loop's clock; None is no deadline.

    `story` is None where the job id is not known: what is told is then dropped, never an error.
    The texts of a `private` job are kept only while it runs.
    """

    job_id: str
    correlation_id: str = ""
    deadline_s: float | None = None
    story: Story | None = None
    private: bool = False


NO_JOB = JobContext(job_id="")
JOB: ContextVar[JobContext] = ContextVar("rbee_job", default=NO_JOB)


def current() -> JobContext:
    """Return the context of the job that the running code works for; `NO_JOB` if none."""
    return JOB.get()
