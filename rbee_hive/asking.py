"""Asking a worker and passing on what it says, or another one if it goes before it has begun."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from typing import TYPE_CHECKING, Any, TypeAlias

from rbee.v1 import operation_pb2
from rbee_hive.workers.worker import Worker, WorkerDiedError, WorkerStoppedError
from rbee_shared.errors import JobCancelledError, UnavailableError
from rbee_shared.jobs.relay import relay
from rbee_shared.narration.narrate import narrate
from rbee_shared.rpc.stream import responses

if TYPE_CHECKING:
    from rbee.v1.worker_service_pb2_grpc import WorkerServiceAsyncStub

ATTEMPTS_MAX = 2  # where workers go away before they take the request
DEATH_NOTICE_S = 2.0  # a broken stream and the end of the process behind it come apart by less

Find: TypeAlias = Callable[[], Awaitable[Worker]]
Call: TypeAlias = "Callable[[WorkerServiceAsyncStub], Any]"  # returns a stream of events


async def ask(find: Find, call: Call, *, retries: bool) -> tuple[Worker, operation_pb2.Result]:
    """Have a worker and its result; what it says on the way goes to the current job.

    Args:
        find: returns a worker to ask, another one when it is called again.
        call: asks it.
        retries: whether any other worker would do as well.

    Raises:
        RbeeError: why there is none.
    """
    attempts_left = ATTEMPTS_MAX if retries else 1
    while True:
        taken = asyncio.Event()
        try:
            worker = await find()
            return worker, await _asked(worker, call, taken)
        except (WorkerDiedError, WorkerStoppedError) as error:
            attempts_left -= 1
            if attempts_left == 0 or taken.is_set():
                raise
            narrate("infer_retry", "asking another worker: {why}", why=str(error))


async def _asked(worker: Worker, call: Call, taken: asyncio.Event) -> operation_pb2.Result:
    with worker.answering() as stub:
        try:
            async with aclosing(responses(call(stub), worker.spec.id)) as batches:
                return await relay(batches, peer=worker.spec.id, heard=lambda _: taken.set())
        except (UnavailableError, JobCancelledError) as error:
            # it cancels an answer only when it is asked to end, by whomever
            if death := await worker.death(DEATH_NOTICE_S):
                raise death from error
            raise
