"""The one contextvar: which job the code that runs now works for.

It is set in two places only: by the server interceptor, from a call's metadata, and by the job
runner, for the task that does the job. Tasks, TaskGroups and `asyncio.to_thread` inherit it, so no
function ever takes a job id in order to tell something.
"""

import asyncio
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
    The texts of a `private` job are kept only while it runs. `priority` is the wire's number.
    """

    job_id: str
    correlation_id: str = ""
    deadline_s: float | None = None
    story: Story | None = None
    private: bool = False
    priority: int = 0


NO_DEADLINE_S = 24 * 3_600.0
NO_JOB = JobContext(job_id="")
JOB: ContextVar[JobContext] = ContextVar("rbee_job", default=NO_JOB)


def current() -> JobContext:
    """Return the context of the job that the running code works for; `NO_JOB` if none."""
    return JOB.get()


def time_left_s() -> float:
    """Return how many seconds the current job has left; a day if it has no deadline."""
    deadline_s = JOB.get().deadline_s
    if deadline_s is None:
        return NO_DEADLINE_S
    return max(0.0, deadline_s - asyncio.get_running_loop().time())
