"""The fleet follows what hives say, over both kinds of links, and what it says goes out again."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest

from rbee.v1 import (
    device_pb2,
    fleet_service_pb2 as pb,
    fleet_service_pb2_grpc as rpc,
    hive_pb2,
    model_pb2,
    worker_pb2,
)
from rbee_queen import fleet_service, watch as watch_module
from rbee_queen.fleet import HiveState
from rbee_queen.fleet_service import FleetService
from rbee_queen.hive_link import HiveLink
from rbee_queen.local_hive import LocalHive
from rbee_queen.queen import Queen
from rbee_queen.remote_hive import dialled_hive
from rbee_queen.watch import Watch, watching
from rbee_shared.errors import HiveNotFoundError, UnavailableError
from rbee_shared.jobs.log import JobLog
from rbee_shared.jobs.runner import running_jobs
from rbee_shared.narration.context import JOB, JobContext
from rbee_shared.rpc.channel import connected
from rbee_shared.rpc.server import serving
from tests.hives import ScriptedHive, listening, refuse, told

LONG_S = 10.0


@asynccontextmanager
async def served(hive: ScriptedHive, socket: Path) -> AsyncGenerator[str]:
    """Serve a hive that is only watched."""
    async with (
        running_jobs(refuse, who="hive") as runner,
        listening(hive, runner, socket) as target,
    ):
        yield target


async def until(watch: Watch, name: str, state: HiveState) -> None:
    async with asyncio.timeout(LONG_S):
        while watch.fleet.get(name).state != state:
            await watch.change(watch.change_count, LONG_S)


def silent(name: str) -> LocalHive:
    """A hive that never says anything."""

    async def nothing() -> AsyncGenerator[hive_pb2.HiveSnapshot]:
        await asyncio.Event().wait()
        yield hive_pb2.HiveSnapshot()

    return LocalHive(name, refuse, nothing)


async def test_a_hive_is_active_then_lost_then_active_again(tmp_path: Path) -> None:
    log = JobLog()
    JOB.set(JobContext("j-1", story=log))  # what the watch tells
    hive, socket = ScriptedHive("attic"), tmp_path / "s"
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(AsyncExitStack())
        target = await server.enter_async_context(served(hive, socket))
        link = await stack.enter_async_context(dialled_hive("attic", target))
        watch = await stack.enter_async_context(watching([link]))
        await until(watch, "attic", HiveState.ACTIVE)
        heard_s = watch.fleet.get("attic").heard_s
        await server.aclose()
        await until(watch, "attic", HiveState.LOST)
        assert watch.fleet.get("attic").heard_s == heard_s
        await stack.enter_async_context(served(hive, socket))
        await until(watch, "attic", HiveState.ACTIVE)
        assert watch.fleet.get("attic").heard_s > heard_s
        first, lost, last = told(log.read(0))
        assert first == last == "hive attic takes work"
        assert lost.startswith("hive attic cannot be heard: ")


@pytest.mark.parametrize("kind", ["local", "remote"])
async def test_what_a_hive_says_is_what_the_fleet_knows(tmp_path: Path, kind: str) -> None:
    hive = ScriptedHive("attic")
    async with AsyncExitStack() as stack:
        link: HiveLink = hive.local()
        if kind == "remote":
            target = await stack.enter_async_context(served(hive, tmp_path / "s"))
            link = await stack.enter_async_context(dialled_hive("attic", target))
        watch = await stack.enter_async_context(watching([link]))
        assert watch.hive("attic").state == hive_pb2.HIVE_STATE_CONNECTING
        await watch.settled()
        assert watch.fleet.get("attic").workers == ()
        worker = worker_pb2.Worker(id="w-1", state=worker_pb2.WORKER_STATE_READY)
        hive.say(
            devices=[device_pb2.Device(id="cpu:0")],
            models=[model_pb2.Model(reference="pypi:tiny==1", alias="tiny")],
            workers=[worker],
            draining=True,
        )
        await until(watch, "attic", HiveState.DRAINING)
        view = watch.fleet.get("attic")
        assert (view.devices, view.models) == ({"cpu:0"}, {"pypi:tiny==1", "tiny"})
        assert [each.id for each in view.workers] == ["w-1"]
        assert watch.hive("attic").snapshot == hive.snapshot
        hive.say()
        await until(watch, "attic", HiveState.ACTIVE)
        assert watch.fleet.get("attic").workers == ()


async def test_hives_go_out_in_name_order_and_unknown_ones_are_not_found() -> None:
    links = [ScriptedHive(name).local() for name in ("cellar", "attic")]
    async with watching(links) as watch:
        await watch.settled()
        assert [hive.name for hive in watch.hives()] == ["attic", "cellar"]
        with pytest.raises(HiveNotFoundError):
            watch.hive("moon")


async def test_waiting_for_hives_to_settle_has_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch_module, "CONNECT_TIMEOUT_S", 0.05)
    async with asyncio.timeout(LONG_S), watching([silent("attic")]) as watch:
        await watch.settled()
        assert watch.fleet.get("attic").state == HiveState.CONNECTING


async def test_a_lost_hive_has_settled(tmp_path: Path) -> None:
    async with (
        asyncio.timeout(watch_module.CONNECT_TIMEOUT_S),
        dialled_hive("attic", f"unix:{tmp_path / 'nobody'}") as link,
        watching([link]) as watch,
    ):
        await watch.settled()
        assert watch.fleet.get("attic").state == HiveState.LOST


async def test_a_hive_that_ends_its_stream_is_lost_until_it_speaks_again() -> None:
    streams: list[int] = []

    async def one_snapshot() -> AsyncGenerator[hive_pb2.HiveSnapshot]:
        streams.append(1)
        yield hive_pb2.HiveSnapshot()
        if len(streams) > 1:
            await asyncio.Event().wait()

    async with watching([LocalHive("attic", refuse, one_snapshot)]) as watch:
        await until(watch, "attic", HiveState.LOST)
        await until(watch, "attic", HiveState.ACTIVE)


async def test_a_hive_in_the_queen_that_cannot_see_its_files_is_lost_and_the_queen_lives() -> None:
    folder_is_there = asyncio.Event()

    async def snapshots() -> AsyncGenerator[hive_pb2.HiveSnapshot]:
        if not folder_is_there.is_set():
            raise FileNotFoundError(2, "no such folder", "models")
        yield hive_pb2.HiveSnapshot()
        await asyncio.Event().wait()

    link = LocalHive("attic", refuse, snapshots)
    with pytest.raises(UnavailableError, match="cannot see its files"):
        await anext(link.watch())
    async with watching([link]) as watch:
        await until(watch, "attic", HiveState.LOST)
        folder_is_there.set()
        await until(watch, "attic", HiveState.ACTIVE)


@pytest.mark.parametrize("kind", ["local", "remote"])
async def test_nobody_watches_when_the_block_is_over(tmp_path: Path, kind: str) -> None:
    hive = ScriptedHive("attic")
    async with AsyncExitStack() as stack:
        link: HiveLink = hive.local()
        if kind == "remote":
            target = await stack.enter_async_context(served(hive, tmp_path / "s"))
            link = await stack.enter_async_context(dialled_hive("attic", target))
        async with watching([link]) as watch:
            await watch.settled()
            assert hive.watched.is_set()
            assert not hive.left.is_set()
        async with asyncio.timeout(LONG_S):
            await hive.left.wait()


async def test_a_dashboard_hears_of_every_change(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fleet_service, "SNAPSHOT_INTERVAL_S", LONG_S)  # so it is the change
    hive = ScriptedHive("attic")
    async with AsyncExitStack() as stack:
        watch = await stack.enter_async_context(watching([hive.local()]))
        await watch.settled()
        queen = Queen({"attic": hive.local()}, watch)

        def add_services(server: grpc.aio.Server) -> list[str]:
            rpc.add_FleetServiceServicer_to_server(FleetService(queen), server)
            return []

        target = await stack.enter_async_context(
            serving("127.0.0.1:0", add_services, find_story=lambda _: None, grace_s=0)
        )
        channel = await stack.enter_async_context(connected(target))
        stub: rpc.FleetServiceAsyncStub = rpc.FleetServiceStub(channel)
        call: Any = stub.WatchFleet(pb.WatchFleetRequest())
        responses = aiter(call)
        async with asyncio.timeout(LONG_S / 2):
            first = await anext(responses)
            assert [each.state for each in first.hives] == [hive_pb2.HIVE_STATE_ACTIVE]
            hive.say(running_job_count=3)  # while the service pauses after its first message
            second = await anext(responses)
        assert second.hives[0].snapshot.running_job_count == 3
        call.cancel()
