"""What nobody may find in the journal's bytes."""

from pathlib import Path
from time import time

import pytest

from rbee.v1 import inference_pb2, job_pb2, operation_pb2
from rbee_queen.journal.retention import tidy
from rbee_queen.journal.stored import StoredLog
from rbee_shared.jobs.runner import running_jobs
from rbee_shared.limits import JOURNAL_KEPT_S, TEXT_KEPT_S
from rbee_shared.narration.narrate import narrate, tell_completion
from tests.journals import (
    PROMPT,
    beside,
    bytes_of,
    followed,
    held_journal,
    humans,
    infer,
    plain,
    read,
    rows_in,
    said,
    text_of,
    tokens,
)

FORGOTTEN = "the text of the answer is not kept any more"
TELLING = "a very telling word"


def secrets(count: int) -> list[str]:
    return [f"{TELLING} {number};" for number in range(count)]


async def test_only_the_owner_may_read_the_files(tmp_path: Path) -> None:
    async with held_journal(tmp_path / "j") as held:
        held.begin("j-1")
        await held.settled()
        modes = {each.name: each.stat().st_mode & 0o777 for each in beside(tmp_path / "j", "*")}
    assert set(modes) >= {"j", "j-wal"}
    assert set(modes.values()) == {0o600}


@pytest.mark.parametrize("private", [False, True])
async def test_no_prompt_is_ever_written(tmp_path: Path, *, private: bool) -> None:
    file = tmp_path / "j"
    said_by_user = inference_pb2.Message(role=inference_pb2.ROLE_USER, content=PROMPT)
    conversation = inference_pb2.Conversation(messages=[said_by_user])
    chat = operation_pb2.InferOperation(model="tiny", conversation=conversation)
    embed = operation_pb2.EmbedOperation(model="tiny", inputs=[PROMPT])
    operations = [
        infer(),
        operation_pb2.Operation(infer=chat),
        operation_pb2.Operation(embed=embed),
    ]
    asked: list[str] = []

    async def execute(operation: operation_pb2.Operation) -> operation_pb2.Result:
        asked.append(str(operation))
        narrate("step", "working")
        tell_completion(tokens("fine"))
        return operation_pb2.Result()

    async with (
        held_journal(file) as held,
        running_jobs(execute, who="queen", recorder=held.journal) as runner,
    ):
        for number, operation in enumerate(operations):
            job = job_pb2.Job(id=f"j-{number}", operation=operation, private=private)
            entry = runner.submit(job, timeout_s=9.0, lease_s=None)
            await followed(entry.log)
            await held.settled()
            assert PROMPT.encode() not in bytes_of(file)
        assert all(PROMPT in each for each in asked)
    assert PROMPT.encode() not in bytes_of(file)


async def test_no_token_of_a_private_job_is_written_and_its_watchers_have_them_all(
    tmp_path: Path,
) -> None:
    file = tmp_path / "j"
    async with held_journal(file) as held:
        entry, log = held.begin("j-1", private=True)
        for number, secret in enumerate(secrets(50)):
            log.complete(tokens(secret))
            if number % 10 == 0:
                log.narrate(said(f"told {number}"))
                await held.settled()
                assert text_of(read(log)) == "".join(secrets(number + 1))
                assert humans(rows_in(file)).count(FORGOTTEN) == 1
        held.end(entry, log)
        await held.settled()
        assert text_of(await followed(log)) == "".join(secrets(50))
        assert TELLING.encode() not in bytes_of(file)
        assert isinstance(entry.log, StoredLog)
        story = await followed(entry.log)
        assert humans(story) == [*(f"told {n}" for n in range(0, 50, 10)), FORGOTTEN]
        log.forget_texts()
        assert plain(await followed(log)) == plain(story)


async def test_a_private_story_is_the_same_in_the_file_when_memory_forgets_first(
    tmp_path: Path,
) -> None:
    file = tmp_path / "j"
    async with held_journal(file) as held:
        entry, log = held.begin("j-1", private=True)
        for secret in secrets(5):
            log.complete(tokens(secret))
            log.narrate(said("between"))
        await held.settled()
        with held.stopped():
            for secret in secrets(5):
                log.complete(tokens(secret))
            held.end(entry, log)
            log.forget_texts()
        await held.settled()
        assert isinstance(entry.log, StoredLog)
        assert plain(await followed(entry.log)) == plain(await followed(log))
        assert humans(rows_in(file)) == ["between"] * 5 + [FORGOTTEN]


async def test_no_token_is_left_an_hour_after_its_job(tmp_path: Path) -> None:
    file = tmp_path / "j"
    async with held_journal(file) as held:
        held.registry.kept_s = JOURNAL_KEPT_S
        jobs = [held.begin(f"j-{number}") for number in range(20)]
        for secret in secrets(100):
            for _, log in jobs:
                log.complete(tokens(secret))
                log.narrate(said("between"))
            await held.settled()
        for entry, log in jobs:
            held.end(entry, log)
        await held.settled()
        assert TELLING.encode() in bytes_of(file)
        await tidy(held.journal, held.registry, time() + TEXT_KEPT_S + 60)
        assert TELLING.encode() not in bytes_of(file)
        for entry, _ in jobs:
            assert humans(await followed(entry.log)).count(FORGOTTEN) == 1


def telling_result() -> operation_pb2.Result:
    result = operation_pb2.Result()
    call = inference_pb2.ToolCall(id="c-1", name="find", arguments=TELLING)
    result.infer.finishes.add(tool_calls=[call])
    return result


@pytest.mark.parametrize("private", [False, True])
async def test_no_argument_of_a_call_is_left_once_texts_are_forgotten(
    tmp_path: Path, *, private: bool
) -> None:
    file = tmp_path / "j"
    async with held_journal(file) as held:
        held.registry.kept_s = JOURNAL_KEPT_S
        entry, log = held.begin("j-1", private=private)
        log.result(telling_result())
        held.end(entry, log)
        await held.settled()
        assert (TELLING.encode() in bytes_of(file)) != private
        await tidy(held.journal, held.registry, time() + TEXT_KEPT_S + 60)
        assert TELLING.encode() not in bytes_of(file)
        story = await followed(entry.log)
        [result] = [event.result.infer for event in story if event.HasField("result")]
        assert result.finishes[0].tool_calls[0].name == "find"


async def test_nothing_of_a_dropped_job_is_left(tmp_path: Path) -> None:
    file = tmp_path / "j"
    async with held_journal(file) as held:
        entry, log = held.begin("j-1")
        for secret in secrets(500):
            log.narrate(said(secret))
        held.end(entry, log)
        await held.settled()
        await tidy(held.journal, held.registry, time() + 2 * JOURNAL_KEPT_S)
        assert TELLING.encode() not in bytes_of(file)
        assert b"j-1" not in bytes_of(file)


async def test_what_a_killed_process_did_not_scrub_is_gone_after_the_next_tidying(
    tmp_path: Path,
) -> None:
    file = tmp_path / "j"
    async with held_journal(file) as held:
        entry, log = held.begin("j-1")
        for secret in secrets(50):
            log.complete(tokens(secret))
        held.end(entry, log)
        await held.settled()
        await held.journal.thread.forget_texts(1)
        assert TELLING.encode() in bytes_of(file)  # in the write-ahead log
        await tidy(held.journal, held.registry, time())
        assert TELLING.encode() not in bytes_of(file)
