"""A hive in a process of its own, spoken to over gRPC: its jobs' stories flow into ours.

A job there is detached under a lease: if the stream breaks, the link comes back for it with
`WatchJob(after_sequence)`, and a hive whose queen stays away ends the job by itself. Where nothing
was heard of the job, the link asks for it again instead, which starts no second one: its id and its
operation are the same.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator
from contextlib import aclosing, asynccontextmanager
from typing import Any, TypeAlias

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
from rbee_shared.errors import (
    AlreadyExistsError,
    DeadlineExceededError,
    NotFoundError,
    RbeeError,
    UnavailableError,
)
from rbee_shared.jobs.log import told_by
from rbee_shared.jobs.merge import is_ended
from rbee_shared.jobs.relay import relay
from rbee_shared.limits import CANCEL_TIMEOUT_S, CANCEL_WAIT_S, HIVE_LEASE_S
from rbee_shared.narration.context import current
from rbee_shared.narration.event import Level
from rbee_shared.narration.narrate import narrate
from rbee_shared.rpc.channel import connected
from rbee_shared.rpc.errors import rpc_errors
from rbee_shared.rpc.stream import responses

REATTACH_MAX = 3  # in a row without any news
TIME_LEFT_S_MIN = 0.001  # of a job whose time is over: zero would be refused

Call: TypeAlias = "grpc.aio.UnaryStreamCall[Any, Any]"  # generic in stubs only


class HiveLostError(UnavailableError):
    """The hive cannot be heard any more, and the job on it with it."""

    reason = "HIVE_LOST"
    hint = "`rbee status` shows the hives; run it again when the hive is back"

    def __init__(self, name: str, why: str) -> None:
        super().__init__(f"hive `{name}` is lost: {why}")


class NeverBegunError(UnavailableError):
    """The queen ended before the hive had the job, and prompts are written down nowhere."""

    reason = "QUEEN_RESTARTED"
    hint = "run it again"

    def __init__(self, name: str) -> None:
        super().__init__(f"the queen ended before hive `{name}` had the job")


class RemoteHive:
    """One hive behind a channel. Made by `dialled_hive`."""

    def __init__(self, name: str, target: str, channel: grpc.aio.Channel) -> None:
        self._name = name
        self._target = target
        self._cancels: set[asyncio.Task[None]] = set()
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
        heard = _Heard(self._name, 0)
        async with self._cancelling(heard):
            try:
                return await self._follow(self._run_job(operation), heard)
            except UnavailableError as error:
                if heard.over:
                    raise  # the job itself ended so; the stream is whole
                return await self._come_back(operation, error, heard)

    async def resume(self, operation: str, after_sequence: int) -> operation_pb2.Result:
        """Go on with the current job, which an earlier queen ran there.

        Raises:
            RbeeError: why it ended.
            HiveLostError: the hive does not come back in time, or does not know the job any more.
        """
        heard = _Heard(self._name, after_sequence)
        async with self._cancelling(heard):
            return await self._come_back(None, None, heard)

    async def watch(self) -> AsyncGenerator[hive_pb2.HiveSnapshot]:
        """Yield snapshots for as long as the stream is open.

        Raises:
            UnavailableError: it cannot be opened, or it broke.
        """
        call = self._snapshots.WatchHive(hive_service_pb2.WatchHiveRequest())
        async with aclosing(responses(call, f"hive `{self._name}`")) as snapshots:
            async for response in snapshots:
                yield response.snapshot

    def _run_job(self, operation: operation_pb2.Operation) -> Call:
        request = pb.RunJobRequest(
            operation=operation,
            on_disconnect=job_pb2.ON_DISCONNECT_DETACH,
            lease=wire.duration(HIVE_LEASE_S),
            private=current().private,
            priority=job_pb2.Priority.ValueType(current().priority),
        )
        left_s = _time_left_s()
        if left_s is not None:  # else the hive would go by the operation alone
            request.timeout.CopyFrom(wire.duration(left_s))
        return self._jobs.RunJob(request, timeout=_call_timeout_s())

    async def close(self) -> None:
        """Give up the cancels that a hive that is away has not got; its lease does the rest."""
        for cancelling in self._cancels:
            cancelling.cancel()
        await asyncio.gather(*self._cancels, return_exceptions=True)

    async def _follow(self, call: Call, heard: "_Heard") -> operation_pb2.Result:
        peer = f"hive `{self._name}`"
        async with aclosing(responses(call, peer)) as batches:
            await relay(batches, peer=peer, heard=heard.take)
        return heard.result

    async def _come_back(
        self, operation: operation_pb2.Operation | None, error: RbeeError | None, heard: "_Heard"
    ) -> operation_pb2.Result:
        tries_left = REATTACH_MAX
        while tries_left:
            self._tell_again(broke=error is not None)
            seen = heard.last_sequence
            try:
                return await self._follow(await self._attach(operation, seen), heard)
            except (HiveLostError, NeverBegunError):
                raise
            except UnavailableError as again:
                if heard.over:
                    raise
                error = again
            tries_left = REATTACH_MAX if heard.last_sequence > seen else tries_left - 1
        raise HiveLostError(self._name, str(error))

    def _tell_again(self, *, broke: bool) -> None:
        if broke:
            narrate(
                "hive_reconnect",
                "the stream from {hive} broke; attaching again",
                target=self._name,
                level=Level.WARN,
                hive=self._name,
                cute="the hum of {hive} broke off; flying back to it",
                story='"Say that again, {hive}", says the queen as the line breaks',
            )
        else:
            narrate(
                "job_resume",
                "the queen is back; going on with {hive}",
                target=self._name,
                hive=self._name,
                cute="the queen is back and hums on with {hive}",
                story='"Where were we?" asks the queen, back with {hive}',
            )

    async def _attach(self, operation: operation_pb2.Operation | None, seen: int) -> Call:
        """Return a stream of what comes after `seen`; the operation is asked for anew if need be.

        GetJob is asked first: it waits for a hive that is away.
        """
        if not seen and operation is not None:
            await self._job_is_known()
            return self._run_job(operation)
        if not await self._job_is_known():
            if not seen:
                raise NeverBegunError(self._name)
            raise HiveLostError(self._name, "it came back without the job")
        request = pb.WatchJobRequest(job_id=current().job_id, after_sequence=seen)
        return self._jobs.WatchJob(request, timeout=_call_timeout_s())

    async def _job_is_known(self) -> bool:
        request = pb.GetJobRequest(job_id=current().job_id)
        try:
            async with rpc_errors(f"hive `{self._name}`"):
                await self._jobs.GetJob(request, timeout=HIVE_LEASE_S, wait_for_ready=True)
        except NotFoundError:
            return False
        except DeadlineExceededError:
            raise HiveLostError(self._name, f"it was away for {HIVE_LEASE_S:g} s") from None
        return True

    @asynccontextmanager
    async def _cancelling(self, heard: "_Heard") -> AsyncGenerator[None]:
        try:
            yield
        except AlreadyExistsError:
            heard.over = True  # the job of this id is not ours, and not ours to cancel
            raise
        finally:
            if not heard.over:
                # not awaited for long: the job is cancelled for its user, link or no link
                cancelling = asyncio.create_task(self._cancel(), name="cancel on a hive")
                self._cancels.add(cancelling)
                cancelling.add_done_callback(self._cancels.discard)
                await asyncio.wait([cancelling], timeout=CANCEL_WAIT_S)

    async def _cancel(self) -> None:
        request = pb.CancelJobRequest(
            job_id=current().job_id, reason="the queen no longer wants it"
        )
        try:
            async with rpc_errors(f"hive `{self._name}`"):
                await self._jobs.CancelJob(request, timeout=HIVE_LEASE_S, wait_for_ready=True)
        except NotFoundError:
            return  # it is gone, which is what was wanted
        except RbeeError as error:
            # the hive's lease on the job ends it
            logging.warning("could not cancel on hive %s: %s", self._name, error)


class _Heard:
    """How far the hive's story was heard. `over`: nothing of ours is left there to be cancelled."""

    def __init__(self, hive: str, last_sequence: int) -> None:
        self._hive = hive
        self.last_sequence = last_sequence
        told_by(hive, last_sequence)
        self.result = operation_pb2.Result()  # a stream may break between it and the end
        self.over = False

    def take(self, event: job_pb2.JobEvent) -> None:
        self.last_sequence = event.sequence
        if event.HasField("result"):
            self.result = event.result
        self.over = is_ended(event)
        told_by(self._hive, event.sequence)


def _time_left_s() -> float | None:
    deadline_s = current().deadline_s
    if deadline_s is None:
        return None
    return max(TIME_LEFT_S_MIN, deadline_s - asyncio.get_running_loop().time())


def _call_timeout_s() -> float | None:
    """Return a little more than the job has: its own end comes first, and cancels the work."""
    left_s = _time_left_s()
    return None if left_s is None else left_s + CANCEL_TIMEOUT_S


@asynccontextmanager
async def dialled_hive(name: str, target: str) -> AsyncGenerator[RemoteHive]:
    """Open a channel to the hive for the block."""
    async with connected(target) as channel:
        hive = RemoteHive(name, target, channel)
        try:
            yield hive
        finally:
            await hive.close()
