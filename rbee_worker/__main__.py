"""`python -m rbee_worker`: load one model on one device and answer until asked to stop.

It is started by a hive and ends with it: its standard input is the hive's pipe.
"""

import argparse
import asyncio
import os
import sys
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import grpc

from rbee.v1 import operation_pb2, worker_service_pb2, worker_service_pb2_grpc
from rbee_shared.errors import UnimplementedError
from rbee_shared.jobs.pacing import pacing
from rbee_shared.jobs.registry import JobRegistry
from rbee_shared.jobs.runner import running_jobs
from rbee_shared.lifecycle.daemon import run_daemon
from rbee_shared.lifecycle.parent import parent_gone
from rbee_shared.lifecycle.ready import Ready, announce
from rbee_shared.lifecycle.signals import stop_requested
from rbee_shared.narration.line import write_line
from rbee_shared.narration.narrate import add_sink, narrate, set_actor
from rbee_shared.rpc.server import serving
from rbee_worker import device
from rbee_worker.engine.engine import opened_engine
from rbee_worker.worker_service import WorkerService

SERVICES = [
    service.full_name for service in worker_service_pb2.DESCRIPTOR.services_by_name.values()
]


async def run(arguments: argparse.Namespace) -> None:
    """Serve until SIGINT, SIGTERM or the end of the parent.

    Raises:
        RbeeError: why the model cannot be loaded.
    """
    folder: Path = arguments.model
    narrate(
        "worker_start",
        "worker {id} starts",
        target=arguments.id,
        id=arguments.id,
        cute="{id} opens its eyes",
        story='"Here I am", says {id}',
    )
    async with AsyncExitStack() as stack:
        engine = await stack.enter_async_context(
            opened_engine(
                folder,
                device=device.parse(arguments.device),
                threads=arguments.threads,
                max_len=arguments.context,
                slots=arguments.slots,
            )
        )
        pacer = await stack.enter_async_context(pacing())
        runner = await stack.enter_async_context(
            running_jobs(_refuse, who="worker", registry=JobRegistry(kept_s=0.0))
        )

        def add_services(server: grpc.aio.Server) -> list[str]:
            service = WorkerService(folder.name, engine, runner, pacer.pause_s)
            worker_service_pb2_grpc.add_WorkerServiceServicer_to_server(service, server)
            return SERVICES

        address = await stack.enter_async_context(
            serving(arguments.listen, add_services, find_story=runner.story_of)
        )
        announce(Ready(address=address, pid=os.getpid()))
        await _first_of(stop_requested, parent_gone)
        runner.close("the worker stops")


async def _refuse(_: operation_pb2.Operation) -> operation_pb2.Result:
    raise UnimplementedError("a worker takes no operations")


async def _first_of(*waits: Callable[[], Awaitable[None]]) -> None:
    async with asyncio.TaskGroup() as tasks:
        over = asyncio.Event()

        async def until(wait: Callable[[], Awaitable[None]]) -> None:
            await wait()
            over.set()

        waiting = [tasks.create_task(until(wait)) for wait in waits]
        await over.wait()
        for task in waiting:
            task.cancel()


def main() -> None:
    """Parse the command line and run."""
    parser = argparse.ArgumentParser(prog="rbee-worker", description=__doc__)
    parser.add_argument("--id", required=True, help="how the hive calls it")
    parser.add_argument("--model", required=True, type=Path, help="a folder with a model")
    parser.add_argument("--listen", required=True, help="unix:/path of its socket")
    parser.add_argument("--device", default="cpu:0", help="cpu:0 or cuda:N; there or not at all")
    parser.add_argument("--threads", type=int, default=1, help="cores granted")
    parser.add_argument("--slots", type=int, default=1, help="requests to answer at once, at most")
    parser.add_argument("--context", type=int, default=0, help="tokens; 0: what the model has")
    arguments = parser.parse_args()
    set_actor("worker")
    add_sink(write_line)
    sys.exit(run_daemon(run(arguments)))


if __name__ == "__main__":
    main()
