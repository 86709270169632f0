"""The story of an ended job, read from the file."""

import asyncio
from contextlib import aclosing
from pathlib import Path

import pytest

from rbee_queen.journal.stored import StoredLog, StoryForgottenError
from rbee_shared.limits import BATCH_EVENTS_MAX
from tests.journals import (
    HeldJournal,
    followed,
    held_journal,
    humans,
    plain,
    read,
    said,
    text_of,
    tokens,
)

TOLD = 3 * BATCH_EVENTS_MAX + 17


async def stored(held: HeldJournal) -> StoredLog:
    """Return the story of an ended job that takes several pages."""
    entry, log = held.begin("j-1")
    for number in range(TOLD):
        log.narrate(said(str(number)))
        if number % 100 == 0:
            await held.settled()
    for number in range(600):
        log.complete(tokens(f"{number} "))
        if number % 7 == 0:
            await held.settled()
    held.end(entry, log)
    await held.settled()
    assert isinstance(entry.log, StoredLog)
    assert plain(await followed(entry.log)) == plain(read(log))
    return entry.log


async def test_it_goes_on_over_pages_from_wherever_a_watcher_stood(tmp_path: Path) -> None:
    async with held_journal(tmp_path / "j") as held:
        log = await stored(held)
        story = await followed(log)
        assert humans(story) == [str(number) for number in range(TOLD)]
        assert log.last_sequence == story[-1].sequence
        for after in [0, *(event.sequence for event in story[::41]), story[-2].sequence]:
            rest = await followed(log, after)
            assert text_of(rest) == text_of(e for e in story if e.sequence > after)
            assert humans(rest) == humans(e for e in story if e.sequence > after)
        assert await followed(log, log.last_sequence) == []


async def test_who_asks_from_within_merged_tokens_is_told_from_where_they_are(
    tmp_path: Path,
) -> None:
    async with held_journal(tmp_path / "j") as held:
        entry, log = held.begin("j-1")
        await held.settled()
        for number in range(2, 7):
            log.complete(tokens(f"{number} "))
        held.end(entry, log)
        await held.settled()
        async with aclosing(entry.log.follow(4, lambda: 0.0)) as batches:
            events = await anext(batches)
        assert (events[0].first_sequence, events[0].completion.text) == (2, "2 3 4 5 6 ")


async def test_its_tokens_are_merged(tmp_path: Path) -> None:
    async with held_journal(tmp_path / "j") as held:
        events = await followed(await stored(held))
        answer = [event for event in events if event.HasField("completion")]
        assert text_of(answer) == "".join(f"{number} " for number in range(600))
        assert len(answer) <= 5
        assert max(len(event.completion.token_ids) for event in answer) <= 256


async def test_who_reads_a_story_that_is_dropped_is_told(tmp_path: Path) -> None:
    async with held_journal(tmp_path / "j") as held:
        log = await stored(held)
        async with asyncio.timeout(5), aclosing(log.follow(0, lambda: 0.0)) as batches:
            first = await anext(batches)
            await held.journal.thread.delete([log.number])
            with pytest.raises(StoryForgottenError) as error:
                _ = [batch async for batch in batches]
        assert len(first) == BATCH_EVENTS_MAX
        assert error.value.reason == "STORY_FORGOTTEN"


async def test_who_reads_an_answer_that_is_forgotten_is_told(tmp_path: Path) -> None:
    async with held_journal(tmp_path / "j") as held:
        log = await stored(held)
        events = await followed(log)
        cut = next(e for e in events if e.HasField("completion")).sequence
        await held.journal.thread.forget_texts(log.number)
        rest = await followed(log, cut)
        assert humans(rest) == ["the text of the answer is not kept any more"]
        assert text_of(await followed(log)) == ""
