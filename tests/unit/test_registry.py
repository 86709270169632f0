import pytest

from rbee.v1 import job_pb2, operation_pb2
from rbee_shared.errors import (
    InvalidArgumentError,
    JobNotFoundError,
    NotFoundError,
    ResourceExhaustedError,
)
from rbee_shared.jobs.log import JobLog
from rbee_shared.jobs.registry import JobEntry, JobRegistry
from rbee_shared.limits import JOB_KEPT_S, JOBS_KEPT_MAX, JOBS_RUNNING_MAX

COMPLETED = job_pb2.JOB_STATE_COMPLETED
FAILED = job_pb2.JOB_STATE_FAILED


def add(registry: JobRegistry, job_id: str, now_s: float = 1.0) -> JobEntry:
    entry = JobEntry(job_pb2.Job(id=job_id), JobLog(), now_s, None)
    registry.add(entry)
    return entry


def end(registry: JobRegistry, entry: JobEntry, now_s: float = 1.0) -> None:
    registry.end(entry, COMPLETED, error=None, now_s=now_s)


async def test_a_job_is_found_by_its_id() -> None:
    registry = JobRegistry()
    entry = add(registry, "j-1")
    assert registry.find("j-1") is registry.get("j-1") is entry
    assert registry.find("j-2") is None
    with pytest.raises(JobNotFoundError, match="`j-2`"):
        registry.get("j-2")


async def test_so_many_jobs_run_at_once() -> None:
    registry = JobRegistry()
    entries = [add(registry, f"j-{n}") for n in range(JOBS_RUNNING_MAX)]
    with pytest.raises(ResourceExhaustedError) as error:
        add(registry, "one-more")
    assert error.value.reason == "JOBS_FULL"
    assert registry.find("one-more") is None
    end(registry, entries[0])
    add(registry, "one-more")
    assert len(registry.running()) == JOBS_RUNNING_MAX


async def test_so_many_ended_jobs_are_kept_and_the_running_ones_all() -> None:
    registry = JobRegistry()
    add(registry, "running")
    for number in range(JOBS_KEPT_MAX + 10):
        end(registry, add(registry, f"j-{number}"))
    add(registry, "last")
    assert registry.find("j-9") is None
    assert registry.find("j-10") is not None
    assert [entry.id for entry in registry.running()] == ["running", "last"]


async def test_an_ended_job_is_kept_for_so_long() -> None:
    registry = JobRegistry()
    early, late = add(registry, "early"), add(registry, "late")
    end(registry, late, now_s=10.0)
    end(registry, early, now_s=20.0)
    add(registry, "next", now_s=15.0 + JOB_KEPT_S)
    assert registry.find("late") is None
    assert registry.find("early") is early
    add(registry, "late", now_s=15.0 + JOB_KEPT_S)


async def test_pages_are_newest_first_and_join() -> None:
    registry = JobRegistry()
    for number in range(25):
        entry = add(registry, f"j-{number}")
        if number % 2:
            end(registry, entry)
    seen: list[str] = []
    token = ""
    while True:
        entries, token = registry.page([], 10, token)
        seen += [entry.id for entry in entries]
        if not token:
            break
    assert seen == [f"j-{n}" for n in reversed(range(25))]
    ended, token = registry.page([COMPLETED, FAILED], 0, "")
    assert [entry.id for entry in ended] == [f"j-{n}" for n in reversed(range(25)) if n % 2]
    assert token == ""


async def test_a_page_s_token_survives_new_jobs() -> None:
    registry = JobRegistry()
    for number in range(4):
        add(registry, f"j-{number}")
    _, token = registry.page([], 2, "")
    add(registry, "newer")
    entries, _ = registry.page([], 2, token)
    assert [entry.id for entry in entries] == ["j-1", "j-0"]


@pytest.mark.parametrize(
    ("size", "token"),
    [(-1, ""), (1001, ""), (0, "x"), (0, "-1"), (0, "9" * 5000), (0, "\u0663")],
)
async def test_a_page_that_cannot_be_is_refused(size: int, token: str) -> None:
    with pytest.raises(InvalidArgumentError):
        JobRegistry().page([], size, token)


async def test_others_see_a_job_without_its_prompt() -> None:
    registry = JobRegistry()
    operation = operation_pb2.Operation()
    operation.infer.model = "tiny"
    operation.infer.prompt = "my secret wish"
    log = JobLog()
    entry = JobEntry(job_pb2.Job(id="j-1", operation=operation, correlation_id="c"), log, 2.5, None)
    registry.add(entry)
    log.state(job_pb2.JOB_STATE_QUEUED)
    shown = entry.to_proto()
    assert b"secret wish" not in shown.SerializeToString()
    assert (shown.operation.infer.model, shown.correlation_id) == ("tiny", "c")
    assert (shown.state, shown.last_sequence) == (job_pb2.JOB_STATE_QUEUED, 1)
    assert not shown.HasField("start_time")
    assert not shown.HasField("end_time")
    registry.end(entry, FAILED, error=NotFoundError("no `x`"), now_s=3.0)
    shown = entry.to_proto()
    assert (shown.state, shown.error.message, shown.end_time.seconds) == (FAILED, "no `x`", 3)
    assert entry.operation.infer.prompt == "my secret wish"


async def test_others_see_an_embedding_without_its_texts() -> None:
    operation = operation_pb2.Operation()
    operation.embed.inputs.append("my secret wish")
    entry = JobEntry(job_pb2.Job(id="j", operation=operation), JobLog(), 1.0, None)
    assert b"secret wish" not in entry.to_proto().SerializeToString()
