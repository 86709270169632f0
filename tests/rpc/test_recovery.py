"""A queen that was killed, and the next one, which goes on from its journal over real channels."""

import asyncio
from pathlib import Path

import pytest

from rbee.v1 import job_pb2, job_service_pb2 as pb, job_service_pb2_grpc as rpc, operation_pb2
from rbee_queen.remote_hive import dialled_hive
from rbee_shared.contracts import wire
from rbee_shared.errors import AlreadyExistsError, NotFoundError
from rbee_shared.jobs.log import told_by
from rbee_shared.jobs.relay import relay
from rbee_shared.jobs.runner import running_jobs
from rbee_shared.limits import HIVE_LEASE_S
from rbee_shared.narration.narrate import narrate, tell_completion
from rbee_shared.rpc.channel import connected
from rbee_shared.rpc.context import JOB_ID_KEY
from rbee_shared.rpc.errors import rpc_errors
from tests.journals import crashed, humans, infer, text_of, tokens, until, whole
from tests.queens import PULL, Resumed, events_of, queen, serving_jobs_of, states, work_on_a_hive

CANCELLED, COMPLETED = job_pb2.JOB_STATE_CANCELLED, job_pb2.JOB_STATE_COMPLETED


async def test_ended_jobs_are_listed_shown_and_replayed(tmp_path: Path) -> None:
    async def end_somehow(operation: operation_pb2.Operation) -> operation_pb2.Result:
        for number in range(300):
            narrate("step", str(number))
            tell_completion(tokens(f"{number} "))
        if operation.HasField("infer"):
            raise NotFoundError("no `x`", reason="X_MISSING", hint="make one")
        return operation_pb2.Result(model_download=operation_pb2.ModelDownloadResult())

    async with queen(tmp_path / "1", end_somehow) as first:
        stories = {
            "j-1": await events_of(first.run("j-1")),
            "j-2": await events_of(first.run("j-2", infer())),
        }
        await first.held.settled()
        was = [await first.get(job_id) for job_id in stories]
        copy = crashed(tmp_path / "1", tmp_path / "2")
    async with queen(copy) as second:
        listed = (await second.jobs.ListJobs(pb.ListJobsRequest())).jobs
        assert [job.id for job in listed] == ["j-2", "j-1"]
        assert [await second.get(job_id) for job_id in stories] == was
        assert was[1].error.reason == "X_MISSING"
        for job_id, story in stories.items():
            again = await second.watch(job_id)
            assert humans(again) == humans(story) == [str(number) for number in range(300)]
            assert text_of(again) == text_of(story)
            assert states(again) == states(story)
            for event in story[::50]:
                rest = await second.watch(job_id, event.sequence)
                after = [e for e in story if e.sequence > event.sequence]
                assert (humans(rest), text_of(rest)) == (humans(after), text_of(after))
            assert await second.watch(job_id, story[-1].sequence) == []


@pytest.mark.parametrize("ended", [False, True])
async def test_the_same_id_attaches_and_another_operation_is_refused(
    tmp_path: Path, *, ended: bool
) -> None:
    resumed = Resumed()
    async with queen(tmp_path / "1", work_on_a_hive) as first:
        await first.begin("j-1", infer(), on_disconnect=job_pb2.ON_DISCONNECT_DETACH)
        if ended:
            await first.jobs.CancelJob(pb.CancelJobRequest(job_id="j-1", reason="enough"))
            await first.watch("j-1")
            await first.held.settled()
        copy = crashed(tmp_path / "1", tmp_path / "2")
    async with queen(copy, resume=resumed.resume) as second:
        call = second.run("j-1", infer())
        with pytest.raises(AlreadyExistsError):
            async with rpc_errors("queen"):
                await events_of(second.run("j-1", PULL))
        resumed.go_on.set()
        events = whole(await events_of(call))
        assert states(events)[-1] == (CANCELLED if ended else COMPLETED)
        assert text_of(events) == ("begun " if ended else "begun resumed ")


async def test_a_running_job_is_resumed_where_its_hive_was_heard(tmp_path: Path) -> None:
    resumed = Resumed()
    async with queen(tmp_path / "1", work_on_a_hive) as first:
        await first.begin("j-1")
        cursor = (await first.get("j-1")).last_sequence
        copy = crashed(tmp_path / "1", tmp_path / "2")
    async with queen(copy, resume=resumed.resume) as second:
        await until(lambda: bool(resumed.calls))
        assert resumed.calls == [("j-1", "attic", 7)]
        await second.held.settled()
        copy = crashed(copy, tmp_path / "3")
    async with queen(copy, resume=resumed.resume) as third:
        resumed.go_on.set()
        rest = await third.watch("j-1", cursor)
        assert text_of(rest) == "resumed resumed "
        assert states(rest) == [COMPLETED]
        job = await third.get("j-1")
        assert job.hive == "attic"
        assert job.start_time.seconds > 0
        story = await third.watch("j-1")
        assert states(story) == [job_pb2.JOB_STATE_QUEUED, job_pb2.JOB_STATE_RUNNING, COMPLETED]


async def test_numbers_pages_and_new_jobs_go_on(tmp_path: Path) -> None:
    async def some_end(operation: operation_pb2.Operation) -> operation_pb2.Result:
        if operation.HasField("infer"):
            return await work_on_a_hive(operation)
        return operation_pb2.Result()

    detach = job_pb2.ON_DISCONNECT_DETACH
    ids = [f"j-{number}" for number in range(10)]
    async with queen(tmp_path / "1", some_end) as first:
        for number, job_id in enumerate(ids):
            if number % 3 == 0:
                await first.begin(job_id, infer(), on_disconnect=detach)
            else:
                await events_of(first.run(job_id))
        await first.held.settled()
        page = await first.jobs.ListJobs(pb.ListJobsRequest(page_size=3))
        copy = crashed(tmp_path / "1", tmp_path / "2")
    async with queen(copy, some_end, Resumed().resume) as second:
        await events_of(second.run("new"))
        found = [job.id for job in page.jobs]
        while page.next_page_token:
            request = pb.ListJobsRequest(page_size=3, page_token=page.next_page_token)
            page = await second.jobs.ListJobs(request)
            found += [job.id for job in page.jobs]
        assert found == ids[::-1]
        newest = await second.jobs.ListJobs(pb.ListJobsRequest(page_size=2))
        assert [job.id for job in newest.jobs] == ["new", "j-9"]
        await second.held.settled()
        rows = await second.held.journal.thread.jobs()
        assert [row.job.id for row in rows] == [*ids, "new"]


async def test_jobs_are_forgotten_in_the_order_of_their_ends(tmp_path: Path) -> None:
    async with queen(tmp_path / "1") as first:
        for job_id in ("a", "b", "c"):
            await first.begin(job_id)
        for job_id in ("b", "c", "a"):
            await first.jobs.CancelJob(pb.CancelJobRequest(job_id=job_id))
            await first.watch(job_id)
        await first.held.settled()
        copy = crashed(tmp_path / "1", tmp_path / "2")
    async with queen(copy) as second:
        assert [entry.id for entry in second.runner.registry.ended()] == ["b", "c", "a"]


async def test_a_real_hive_goes_on_while_the_queen_is_away(tmp_path: Path) -> None:
    steps: asyncio.Queue[int] = asyncio.Queue()

    async def count(_: operation_pb2.Operation) -> operation_pb2.Result:
        while (number := await steps.get()) >= 0:
            narrate("step", f"at {number}")
            tell_completion(tokens(f"{number} "))
        return operation_pb2.Result(infer=operation_pb2.InferResult(model="tiny"))

    async with (
        running_jobs(count, who="hive") as at_hive,
        serving_jobs_of(at_hive) as target,
        connected(target) as channel,
        dialled_hive("attic", target) as link,
    ):
        hive: rpc.JobServiceAsyncStub = rpc.JobServiceStub(channel)

        async def pour(operation: operation_pb2.Operation) -> operation_pb2.Result:
            request = pb.RunJobRequest(
                operation=operation,
                on_disconnect=job_pb2.ON_DISCONNECT_DETACH,
                lease=wire.duration(HIVE_LEASE_S),
            )
            told_by("attic", 0)
            metadata = ((JOB_ID_KEY, "j-1"),)
            call = hive.RunJob(request, metadata=metadata)
            return await relay(call, peer="hive", heard=lambda e: told_by("attic", e.sequence))

        for number in range(50):
            steps.put_nowait(number)
        async with queen(tmp_path / "1", pour) as first:
            call, seen = first.run("j-1", infer()), list[job_pb2.JobEvent]()
            async for response in call:
                seen += response.events
                if "49 " in text_of(seen):
                    break
            copy = crashed(tmp_path / "1", tmp_path / "2")
        for number in [*range(50, 100), -1]:
            steps.put_nowait(number)
        await until(lambda: at_hive.registry.get("j-1").ended)

        async def resume(job: job_pb2.Job, _: str, sequence: int) -> operation_pb2.Result:
            return await link.resume(job.operation.WhichOneof("kind") or "", sequence)

        async with queen(copy, resume=resume) as second:
            seen += await second.watch("j-1", seen[-1].sequence)
        whole(seen)
        assert text_of(seen) == "".join(f"{number} " for number in range(100))
        told = [human for human in humans(seen) if human.startswith("at ")]
        assert told == [f"at {number}" for number in range(100)]
        assert states(seen)[-1] == COMPLETED
