"""Following a job in the foreground: draw its events, and let Ctrl-C stop it at every hop."""

import asyncio
import signal
from collections.abc import Callable, Generator
from contextlib import contextmanager

from rbee.v1 import job_pb2, operation_pb2
from rbee_client import Client
from rbee_client.client import result_of
from rbee_keeper import output
from rbee_keeper.display import Display
from rbee_shared.errors import RbeeError
from rbee_shared.ids import new_job_id
from rbee_shared.limits import CANCEL_TIMEOUT_S


async def run_job(
    client: Client,
    operation: operation_pb2.Operation,
    display: Display,
    *,
    timeout_s: float | None = None,
    private: bool = False,
    priority: job_pb2.Priority.ValueType = job_pb2.PRIORITY_UNSPECIFIED,
) -> operation_pb2.Result:
    """Run an operation as a foreground job, drawing it, and return its result.

    The first Ctrl-C cancels the job and waits a moment for its end; a second one ends at once.

    Raises:
        RbeeError: why the job failed.
        KeyboardInterrupt: it was cancelled by Ctrl-C.
    """
    job_id = new_job_id()
    events = client.run(
        operation,
        job_id=job_id,
        on_disconnect=job_pb2.ON_DISCONNECT_CANCEL,
        timeout_s=timeout_s,
        private=private,
        priority=priority,
    )
    interrupted = False
    async with asyncio.TaskGroup() as tasks:
        try:
            async with asyncio.timeout(None) as limit:

                def interrupt() -> None:
                    nonlocal interrupted
                    interrupted = True
                    limit.reschedule(asyncio.get_running_loop().time() + CANCEL_TIMEOUT_S)
                    tasks.create_task(_cancel(client, job_id))

                with _on_interrupt(interrupt):
                    return await result_of(events, display.event)
        except (TimeoutError, RbeeError):
            if interrupted:
                display.close()
                output.say("cancelled")
                raise KeyboardInterrupt from None
            raise


@contextmanager
def _on_interrupt(interrupt: Callable[[], None]) -> Generator[None]:
    loop = asyncio.get_running_loop()

    def once() -> None:
        loop.remove_signal_handler(signal.SIGINT)  # a second one does what it always does
        interrupt()

    loop.add_signal_handler(signal.SIGINT, once)
    try:
        yield
    finally:
        loop.remove_signal_handler(signal.SIGINT)


async def _cancel(client: Client, job_id: str) -> None:
    try:
        await client.cancel(job_id, "Ctrl-C")
    except RbeeError:
        return  # the connection's end cancels it too
