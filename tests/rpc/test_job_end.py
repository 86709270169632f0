"""How a job ends over a real channel: cancelled, left by its watchers, out of time."""

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, suppress
from typing import Any

import grpc
import pytest

from rbee.v1 import job_pb2, job_service_pb2 as pb, operation_pb2
from rbee_shared.contracts import wire
from rbee_shared.rpc.context import JOB_ID_KEY

Serve = Callable[[], AbstractAsyncContextManager[Any]]

STATUS = operation_pb2.Operation(status=operation_pb2.StatusOperation())
INFER = operation_pb2.Operation(infer=operation_pb2.InferOperation(model="tiny"))
CANCEL = job_pb2.ON_DISCONNECT_CANCEL
DETACH = job_pb2.ON_DISCONNECT_DETACH


async def test_cancelling_stops_the_work_and_is_idempotent(served: Serve) -> None:
    async with served() as server:
        call = server.run("j-1")
        await server.work.started.wait()
        asked = await server.cancel("j-1", "changed my mind")
        await server.cancel("j-1", "again")
        end = server.whole(await server.events_of(call))[-1].state
        assert asked.state in (job_pb2.JOB_STATE_RUNNING, job_pb2.JOB_STATE_CANCELLED)
        assert server.work.cleaned.is_set()
        assert end.state == job_pb2.JOB_STATE_CANCELLED
        assert end.error.message == "changed my mind"
        after = await server.cancel("j-1", "too late")
        assert (after.state, after.error.message) == (end.state, "changed my mind")
        assert server.whole(await server.events_of(server.watch("j-1")))[-1].state == end


@pytest.mark.parametrize(
    "terms", [{"operation": INFER}, {"on_disconnect": CANCEL}], ids=["infer", "asked"]
)
async def test_a_foreground_job_ends_with_its_last_watcher(
    served: Serve, terms: dict[str, Any]
) -> None:
    async with served() as server:
        call = server.run("j-1", **terms)
        await server.work.started.wait()
        other = server.watch("j-1")
        await anext(aiter(other))
        call.cancel()
        await server.watched_by("j-1", 1)
        assert not server.work.cleaned.is_set()
        other.cancel()
        end = await server.ended("j-1")
        assert end.state == job_pb2.JOB_STATE_CANCELLED
        assert end.error.message == "nobody watched the job"
        assert server.work.cleaned.is_set()


async def test_who_leaves_at_once_leaves_no_job_behind(served: Serve) -> None:
    async with served() as server:
        for number in range(20):
            call = server.run(f"j-{number}", INFER)
            asyncio.get_running_loop().call_later(number / 5000, call.cancel)
            with pytest.raises((asyncio.CancelledError, grpc.aio.AioRpcError)):
                await server.events_of(call)
        for entry in server.runner.registry.running():
            await server.ended(entry.id)


@pytest.mark.parametrize(
    "terms", [{}, {"operation": INFER, "on_disconnect": DETACH}], ids=["by operation", "asked"]
)
async def test_a_detached_job_goes_on_alone(served: Serve, terms: dict[str, Any]) -> None:
    async with served() as server:
        call = server.run("j-1", **terms)
        await server.work.started.wait()
        call.cancel()
        await server.watched_by("j-1", 0)
        server.work.go_on.set()
        events = server.whole(await server.events_of(server.watch("j-1")))
        assert events[-1].state.state == job_pb2.JOB_STATE_COMPLETED


async def test_a_leased_job_ends_when_nobody_comes_back(served: Serve) -> None:
    async with served() as server:
        call = server.run("j-1", on_disconnect=DETACH, lease=wire.duration(0.05))
        await server.work.started.wait()
        call.cancel()
        await server.watched_by("j-1", 0)
        again = server.watch("j-1")  # in time
        await anext(aiter(again))
        assert not server.work.cleaned.is_set()
        again.cancel()
        end = await server.ended("j-1")
        assert end.error.message == "nobody watched the job for 0.05 s"


@pytest.mark.parametrize("on_disconnect", [CANCEL, DETACH])
async def test_a_job_out_of_time_fails_and_says_what_it_was_doing(
    served: Serve,
    on_disconnect: job_pb2.OnDisconnect.ValueType,
) -> None:
    async with served() as server:
        call = server.run("j-1", on_disconnect=on_disconnect, timeout=wire.duration(0.05))
        end = server.whole(await server.events_of(call))[-1].state
        assert end.state == job_pb2.JOB_STATE_FAILED
        assert end.error.reason == "DEADLINE_EXCEEDED"
        assert end.error.message == "the time of the job is over while waiting for the test"
        assert server.work.cleaned.is_set()


async def test_the_call_s_own_time_is_a_foreground_job_s(served: Serve) -> None:
    async with served() as server:
        request = pb.RunJobRequest(operation=INFER)
        call = server.jobs.RunJob(request, metadata=((JOB_ID_KEY, "j-1"),), timeout=0.1)
        with suppress(grpc.aio.AioRpcError):  # the job's last word may just make it
            await server.events_of(call)
        assert (await server.ended("j-1")).state != job_pb2.JOB_STATE_COMPLETED
        assert server.work.cleaned.is_set()


async def test_a_detached_job_outlives_the_call_s_time(served: Serve) -> None:
    async with served() as server:
        request = pb.RunJobRequest(operation=STATUS)
        call = server.jobs.RunJob(request, metadata=((JOB_ID_KEY, "j-1"),), timeout=0.1)
        with pytest.raises(grpc.aio.AioRpcError):
            await server.events_of(call)
        server.work.go_on.set()
        assert server.whole(await server.events_of(server.watch("j-1")))
        assert (await server.ended("j-1")).state == job_pb2.JOB_STATE_COMPLETED
