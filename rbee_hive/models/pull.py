"""One transfer that any number of jobs wait for.

The work belongs to no job, so what it tells is kept, and each waiter tells it again as its own,
from the beginning: whoever comes late sees the whole story. A waiter may leave at any time; when
the last one does, the work stops.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

from rbee_hive.models.metadata import StoredModel
from rbee_hive.transfer.rate import Rate
from rbee_shared.errors import UnavailableError
from rbee_shared.limits import LINES_KEPT_MAX
from rbee_shared.narration.context import JOB, JobContext, current
from rbee_shared.narration.event import Narration
from rbee_shared.narration.narrate import emit
from rbee_shared.references.reference import Reference

Work = Callable[[], Awaitable[StoredModel]]


class Pull:
    """A transfer that runs. Every method is called on the loop that it runs on."""

    def __init__(self, reference: Reference) -> None:
        self.reference = reference
        self.rate = Rate()
        self._rates: list[int] = []  # one of each waiter; 0 is no limit
        self._kept: deque[tuple[int, Narration]] = deque(maxlen=LINES_KEPT_MAX)
        self._count = 0
        self._changed = asyncio.Event()
        self._task: asyncio.Task[StoredModel | Exception] | None = None

    def start(self, work: Work, tasks: asyncio.TaskGroup, ended: Callable[["Pull"], None]) -> None:
        """Start the work in `tasks`; `ended` is called when it is over, however it ends."""
        self._task = tasks.create_task(self._work(work), name=f"pull {self.reference.text}")
        self._task.add_done_callback(lambda _: (ended(self), self._wake()))

    @property
    def is_open(self) -> bool:
        """Whether somebody new may wait for it: it is not over and was not told to stop."""
        return self._task is not None and not self._task.done() and not self._task.cancelling()

    def stop(self) -> None:
        """Stop the work. Idempotent: a second cancel would stop it from cleaning up."""
        if self._task is not None and self.is_open:
            self._task.cancel()

    async def wait(self, rate_bytes_max: int = 0) -> StoredModel:
        """Tell what the work tells until it is over, and return what came of it.

        Args:
            rate_bytes_max: bytes a second, 0 for no limit; of all waiters the greatest holds.

        Raises:
            RbeeError: why the model cannot be had.
        """
        told = 0
        self._rates.append(rate_bytes_max)
        self._set_rate()
        try:
            while True:
                told = self._tell_since(told)
                if self._task is None or self._task.done():
                    return self._outcome()
                await self._changed.wait()
        finally:
            self._rates.remove(rate_bytes_max)
            self._set_rate()
            if not self._rates:
                self.stop()

    def narrate(self, narration: Narration) -> None:
        """Keep what the work tells; of one step's progress only the newest."""
        if self._kept and _is_next(self._kept[-1][1], narration):
            self._kept.pop()
        self._count += 1
        self._kept.append((self._count, narration))
        self._wake()

    def complete(self, completion: Any) -> None:
        """Keep no answer: a pull gives none."""

    def _set_rate(self) -> None:
        if self._rates:
            self.rate.set(0 if 0 in self._rates else max(self._rates))

    async def _work(self, work: Work) -> StoredModel | Exception:
        JOB.set(JobContext(job_id="pull", story=self))
        try:
            return await work()
        except Exception as error:  # the edge: a bug ends the jobs that wait, not the whole store
            return error

    def _outcome(self) -> StoredModel:
        if self._task is None or self._task.cancelled():
            raise UnavailableError("the hive stops", reason="HIVE_STOPPING")
        outcome = self._task.result()
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    def _wake(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    def _tell_since(self, told: int) -> int:
        for number, narration in tuple(self._kept):
            if number > told:
                emit(replace(narration, correlation_id=current().correlation_id))
        return self._count


def _is_next(before: Narration, narration: Narration) -> bool:
    both = before.progress is not None and narration.progress is not None
    return both and (before.action, before.target) == (narration.action, narration.target)
