"""A hive in a process of its own, spoken to over gRPC: its jobs' stories flow into ours.

A job there is detached under a lease: if the stream breaks, the link comes back for it with
`WatchJob(after_sequence)`, and a hive whose queen stays away ends the job by itself.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator
from contextlib import aclosing, asynccontextmanager
from typing import Any

import grpc

from rbee.v1 import (
    hive_pb2,
    hive_service_pb2,
    hive_service_pb2_grpc,
    job_pb2,
    job_service_pb2 as pb,
    job_service_pb2_grpc as rpc,
    operation_pb2,
)
from rbee_shared.contracts import wire
from rbee_shared.errors import JobNotFoundError, RbeeError, UnavailableError
from rbee_shared.jobs.log import told_by
from rbee_shared.jobs.merge import is_ended
from rbee_shared.jobs.relay import relay
from rbee_shared.limits import CANCEL_WAIT_S, HIVE_LEASE_S
from rbee_shared.narration.context import current, time_left_s
from rbee_shared.narration.event import Level
from rbee_shared.narration.narrate import narrate
from rbee_shared.rpc.channel import connected
from rbee_shared.rpc.errors import rpc_errors
from rbee_shared.rpc.stream import responses

REATTACH_MAX = 3


class HiveLostError(UnavailableError):
    """The hive cannot be heard any more, and the job on it with it."""

    reason = "HIVE_LOST"
    hint = "`rbee status` shows the hives; run it again when the hive is back"

    def __init__(self, name: str, why: RbeeError) -> None:
        super().__init__(f"hive `{name}` is lost: {why}")


class RemoteHive:
    """One hive behind a channel. Made by `dialled_hive`."""

    def __init__(
        self, name: str, target: str, channel: grpc.aio.Channel, tasks: asyncio.TaskGroup
    ) -> None:
        self._name = name
        self._target = target
        self._tasks = tasks
        self._jobs: rpc.JobServiceAsyncStub = rpc.JobServiceStub(channel)
        self._snapshots: hive_service_pb2_grpc.HiveServiceAsyncStub = (
            hive_service_pb2_grpc.HiveServiceStub(channel)
        )

    @property
    def name(self) -> str:
        """The hive's name."""
        return self._name

    @property
    def address(self) -> str:
        """How it is reached, for people."""
        return self._target

    async def run(self, operation: operation_pb2.Operation) -> operation_pb2.Result:
        """Run the operation there under the current job's id.

        Raises:
            RbeeError: why it cannot be done.
            HiveLostError: the hive went away and did not come back in time.
        """
        request = pb.RunJobRequest(
            operation=operation,
            on_disconnect=job_pb2.ON_DISCONNECT_DETACH,
            lease=wire.duration(HIVE_LEASE_S),
            timeout=wire.duration(time_left_s()),
            private=current().private,
        )
        heard = _Heard(self._name, 0)
        async with self._cancelling(heard):
            try:
                return await self._follow(self._jobs.RunJob(request), heard)
            except UnavailableError as error:
                if heard.end:
                    raise  # the job itself ended so; the stream is whole
                self._tell_broken()
                return await self._attach(error, heard)

    async def resume(self, operation: str, after_sequence: int) -> operation_pb2.Result:
        """Go on with the current job, which an earlier queen ran there.

        Raises:
            RbeeError: why it ended.
            HiveLostError: the hive does not come back in time, or does not know the job any more.
        """
        heard = _Heard(self._name, after_sequence)
        narrate(
            "job_resume",
            "the queen is back; going on with {hive}",
            target=self._name,
            hive=self._name,
            cute="the queen is back and hums on with {hive}",
            story='"Where were we?" asks the queen, back with {hive}',
        )
        async with self._cancelling(heard):
            return await self._attach(UnavailableError("the queen was away"), heard)

    async def watch(self) -> AsyncGenerator[hive_pb2.HiveSnapshot]:
        """Yield snapshots for as long as the stream is open.

        Raises:
            UnavailableError: it cannot be opened, or it broke.
        """
        call = self._snapshots.WatchHive(hive_service_pb2.WatchHiveRequest())
        async with aclosing(responses(call, f"hive `{self._name}`")) as snapshots:
            async for response in snapshots:
                yield response.snapshot

    async def _follow(
        self, call: grpc.aio.UnaryStreamCall[Any, Any], heard: "_Heard"
    ) -> operation_pb2.Result:
        peer = f"hive `{self._name}`"
        async with aclosing(responses(call, peer)) as batches:
            return await relay(batches, peer=peer, heard=heard.take)

    async def _attach(self, why: RbeeError, heard: "_Heard") -> operation_pb2.Result:
        for _ in range(REATTACH_MAX):
            request = pb.WatchJobRequest(
                job_id=current().job_id, after_sequence=heard.last_sequence
            )
            call = self._jobs.WatchJob(request, wait_for_ready=True)
            try:
                await self._connected(call)
                return await self._follow(call, heard)
            except UnavailableError as again:
                if heard.end:
                    raise
                why = again
                self._tell_broken()
            except JobNotFoundError as gone:
                raise HiveLostError(self._name, gone) from why
        raise HiveLostError(self._name, why)

    def _tell_broken(self) -> None:
        narrate(
            "hive_reconnect",
            "the stream from {hive} broke; attaching again",
            target=self._name,
            level=Level.WARN,
            hive=self._name,
            cute="the hum of {hive} broke off; flying back to it",
            story='"Say that again, {hive}", says the queen as the line breaks',
        )

    async def _connected(self, call: grpc.aio.UnaryStreamCall[Any, Any]) -> None:
        try:
            async with asyncio.timeout(HIVE_LEASE_S), rpc_errors(f"hive `{self._name}`"):
                await call.wait_for_connection()
        except TimeoutError:
            call.cancel()
            raise UnavailableError(f"it was away for {HIVE_LEASE_S:.0f} s") from None

    @asynccontextmanager
    async def _cancelling(self, heard: "_Heard") -> AsyncGenerator[None]:
        try:
            yield
        finally:
            if not heard.end:
                # not awaited for long: the job is cancelled for its user, link or no link
                cancelling = self._tasks.create_task(self._cancel(), name="cancel on a hive")
                await asyncio.wait([cancelling], timeout=CANCEL_WAIT_S)

    async def _cancel(self) -> None:
        request = pb.CancelJobRequest(
            job_id=current().job_id, reason="the queen no longer wants it"
        )
        try:
            await self._jobs.CancelJob(request, timeout=HIVE_LEASE_S, wait_for_ready=True)
        except grpc.aio.AioRpcError as error:
            # the hive's lease on the job ends it
            logging.warning("could not cancel on hive %s: %s", self._name, error.details())


class _Heard:
    """How far the hive's story was heard."""

    def __init__(self, hive: str, last_sequence: int) -> None:
        self._hive = hive
        self.last_sequence = last_sequence
        self.end = False
        told_by(hive, last_sequence)

    def take(self, event: job_pb2.JobEvent) -> None:
        self.last_sequence = event.sequence
        self.end = is_ended(event)
        told_by(self._hive, event.sequence)


@asynccontextmanager
async def dialled_hive(name: str, target: str) -> AsyncGenerator[RemoteHive]:
    """Open a channel to the hive for the block."""
    async with connected(target) as channel, asyncio.TaskGroup() as tasks:
        yield RemoteHive(name, target, channel, tasks)
