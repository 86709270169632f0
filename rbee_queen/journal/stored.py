"""The story of an ended job, read from the journal page by page."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass

from rbee.v1 import job_pb2
from rbee_queen.journal.thread import JournalThread
from rbee_shared.errors import NotFoundError
from rbee_shared.jobs.merge import gather, is_ended


class StoryForgottenError(NotFoundError):
    """The story was forgotten while somebody read it."""

    reason = "STORY_FORGOTTEN"
    hint = "`rbee job list` shows the jobs that are known"


@dataclass(frozen=True, slots=True)
class StoredLog:
    """An `EventLog` that costs no memory."""

    thread: JournalThread
    number: int
    last_sequence: int
    origin: tuple[str, int]

    async def follow(
        self, after: int, pause_s: Callable[[], float]
    ) -> AsyncGenerator[list[job_pb2.JobEvent]]:
        """Yield the events after that sequence.

        Raises:
            DataLossError: the journal is damaged there.
            StoryForgottenError: the job has been forgotten by now.
        """
        while after < self.last_sequence:
            page = await self.thread.events(self.number, after)
            if not page:
                raise StoryForgottenError("the story of this job is not kept any more")
            while batch := gather(page, 0, after=after):
                after = batch[-1].sequence
                yield batch
                if is_ended(batch[-1]):
                    return
                page = [event for event in page if event.sequence > after]
                await asyncio.sleep(0)  # what is all there waits for nothing, but lets others go on
