"""The hive of `in_process` on TCP loopback, which `python -m rbee_hive` does not serve.

With --telling it narrates once in every operation.
"""

import argparse
import asyncio
import os
from contextlib import AsyncExitStack
from functools import partial

import grpc

from rbee.v1 import job_service_pb2_grpc as rpc, operation_pb2
from rbee_hive.hive import Hive, opened_hive
from rbee_hive.operations import execute
from rbee_shared.ids import LOCALHOST
from rbee_shared.jobs.job_service import JobService
from rbee_shared.jobs.pacing import pacing
from rbee_shared.jobs.runner import running_jobs
from rbee_shared.lifecycle.daemon import new_event_loop
from rbee_shared.lifecycle.ready import Ready, announce
from rbee_shared.lifecycle.signals import stop_requested
from rbee_shared.narration.narrate import narrate
from rbee_shared.paths import resolve
from rbee_shared.rpc.server import serving
from rbee_shared.settings import load


async def telling(hive: Hive, operation: operation_pb2.Operation) -> operation_pb2.Result:
    """Do an operation, and tell one thing."""
    narrate("bench_look", "looking through {hive}", target=hive.name, hive=hive.name)
    return await execute(hive, operation)


async def run(*, is_telling: bool) -> None:
    """Serve until asked to stop."""
    paths = resolve().create()
    async with AsyncExitStack() as stack:
        hive = await stack.enter_async_context(
            opened_hive(LOCALHOST, paths, load(paths.settings_file))
        )
        pacer = await stack.enter_async_context(pacing())
        do = partial(telling if is_telling else execute, hive)
        runner = await stack.enter_async_context(running_jobs(do, who="hive"))

        def add_services(server: grpc.aio.Server) -> list[str]:
            rpc.add_JobServiceServicer_to_server(JobService(runner, pacer.pause_s), server)
            return []

        address = await stack.enter_async_context(
            serving("127.0.0.1:0", add_services, find_story=runner.story_of)
        )
        announce(Ready(address=address, pid=os.getpid()))
        await stop_requested()


def main() -> None:
    """Parse the command line and run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--telling", action="store_true")
    is_telling = parser.parse_args().telling
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        runner.run(run(is_telling=is_telling))


if __name__ == "__main__":
    main()
