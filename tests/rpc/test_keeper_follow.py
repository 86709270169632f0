"""A job in the foreground, over a real channel: its end, its error, Ctrl-C."""

import asyncio
import os
import signal
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager

import grpc
import pytest

from rbee.v1 import (
    inference_pb2,
    job_pb2,
    job_service_pb2 as pb,
    job_service_pb2_grpc as rpc,
    operation_pb2,
)
from rbee_client.client import Client, result_of
from rbee_keeper.display import Display, opened_display
from rbee_keeper.follow import run_job
from rbee_shared.errors import (
    DeadlineExceededError,
    FailedPreconditionError,
    JobCancelledError,
)
from rbee_shared.jobs.job_service import JobService
from rbee_shared.jobs.runner import running_jobs
from rbee_shared.narration.narrate import narrate, tell_completion
from rbee_shared.rpc.channel import connected
from rbee_shared.rpc.server import serving
from tests.terminal import attach

Work = Callable[[], Awaitable[None]]
Captured = pytest.CaptureFixture[str]

STATUS = operation_pb2.Operation(status=operation_pb2.StatusOperation())


class Witness:
    """A display that interrupts this process as Ctrl-C would, when an answer begins."""

    def __init__(self, display: Display) -> None:
        self._display = display

    def event(self, event: job_pb2.JobEvent) -> None:
        self._display.event(event)
        if event.HasField("completion"):
            os.kill(os.getpid(), signal.SIGINT)

    def narrate(self, narration: object) -> None:
        raise AssertionError(narration)

    def close(self) -> None:
        self._display.close()


@asynccontextmanager
async def queen_that(work: Work) -> AsyncGenerator[Client]:
    """Serve jobs that do this work; yield the keeper's client."""

    async def execute(_: operation_pb2.Operation) -> operation_pb2.Result:
        await work()
        return operation_pb2.Result(status=operation_pb2.StatusResult(version="1"))

    async with asyncio.timeout(10), running_jobs(execute, who="queen") as runner:

        def add_services(server: grpc.aio.Server) -> list[str]:
            rpc.add_JobServiceServicer_to_server(JobService(runner, lambda: 0.0), server)
            return [pb.DESCRIPTOR.services_by_name["JobService"].full_name]

        async with (
            serving("127.0.0.1:0", add_services, find_story=runner.story_of, grace_s=0) as target,
            connected(target) as channel,
        ):
            yield Client(channel)


async def answer() -> None:
    narrate("load", "loading")
    tell_completion(inference_pb2.Completion(text="Hello"))


async def answer_for_ever() -> None:
    await answer()
    await asyncio.Event().wait()


async def refuse() -> None:
    narrate("load", "loading")
    raise FailedPreconditionError("it is [red]closed[/red]", reason="CLOSED", hint="open it")


async def test_a_job_is_drawn_and_its_result_returned(capsys: Captured) -> None:
    with opened_display(as_json=False, verbose=False) as display:
        async with queen_that(answer) as client:
            result = await run_job(client, STATUS, display)
    assert result.status.version == "1"
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("Hello\n", "loading\n")


async def test_a_failed_job_raises_its_own_error() -> None:
    with opened_display(as_json=False, verbose=False) as display:
        async with queen_that(refuse) as client:
            with pytest.raises(ExceptionGroup) as group:
                await run_job(client, STATUS, display)
    [error] = group.value.exceptions
    assert isinstance(error, FailedPreconditionError)
    assert (str(error), error.reason, error.hint) == (
        "it is [red]closed[/red]",
        "CLOSED",
        "open it",
    )


async def test_a_job_out_of_time_says_so() -> None:
    with opened_display(as_json=False, verbose=False) as display:
        async with queen_that(answer_for_ever) as client:
            with pytest.raises(ExceptionGroup) as group:
                await run_job(client, STATUS, display, timeout_s=0.05)
    assert isinstance(group.value.exceptions[0], DeadlineExceededError)


async def test_ctrl_c_cancels_the_job_and_leaves_a_clean_screen(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    terminal = attach(monkeypatch)
    before = signal.getsignal(signal.SIGINT)
    with opened_display(as_json=False, verbose=False) as display:
        async with queen_that(answer_for_ever) as client:
            with pytest.raises(KeyboardInterrupt):
                await run_job(client, STATUS, Witness(display))
            [job] = await client.jobs(10, ())
            assert (job.state, job.error.message) == (job_pb2.JOB_STATE_CANCELLED, "Ctrl-C")
    assert terminal.screen() == ["Hello", "cancelled"]
    assert terminal.getvalue().count("cancelled") == 1
    assert signal.getsignal(signal.SIGINT) == signal.default_int_handler, "a second one ends it"
    signal.signal(signal.SIGINT, before)


async def test_watching_a_cancelled_job_raises_why(capsys: Captured) -> None:
    async with queen_that(answer_for_ever) as client:
        events = client.run(
            STATUS, job_id="j-000000000001", on_disconnect=job_pb2.ON_DISCONNECT_DETACH
        )
        await anext(events)
        await client.cancel("j-000000000001", "changed my mind")
        with (
            opened_display(as_json=False, verbose=False, whole=True) as display,
            pytest.raises(JobCancelledError, match="changed my mind"),
        ):
            await result_of(client.watch("j-000000000001", 0), display.event)
        await events.aclose()
    assert capsys.readouterr().out == "Hello\n"
