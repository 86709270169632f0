"""`python -m rbee_hive`: serve one hive on a unix socket until asked to stop."""

import argparse
import os
import sys
from contextlib import AsyncExitStack
from functools import partial
from importlib.metadata import version

import grpc

from rbee.v1 import hive_service_pb2, hive_service_pb2_grpc, job_service_pb2, job_service_pb2_grpc
from rbee_hive.hive import opened_hive
from rbee_hive.hive_service import HiveService
from rbee_hive.operations import execute
from rbee_shared.ids import LOCALHOST, check_name
from rbee_shared.jobs.job_service import JobService
from rbee_shared.jobs.pacing import pacing
from rbee_shared.jobs.runner import running_jobs
from rbee_shared.lifecycle import lock
from rbee_shared.lifecycle.daemon import run_daemon
from rbee_shared.lifecycle.logfile import bounded_output
from rbee_shared.lifecycle.ready import Ready, announce
from rbee_shared.lifecycle.signals import stop_requested
from rbee_shared.narration.line import write_line
from rbee_shared.narration.narrate import add_sink, narrate, set_actor
from rbee_shared.paths import resolve
from rbee_shared.rpc.server import serving
from rbee_shared.settings import load

SERVICES = [
    service.full_name
    for module in (job_service_pb2, hive_service_pb2)
    for service in module.DESCRIPTOR.services_by_name.values()
]


async def run(name: str) -> None:
    """Serve until SIGINT or SIGTERM.

    Raises:
        InvalidArgumentError: the name or a setting is malformed.
        AlreadyRunningError: this user's hive of that name runs already.
    """
    check_name(name, "hive")
    paths = resolve().create()
    settings = load(paths.settings_file)
    async with AsyncExitStack() as stack:
        held = stack.enter_context(lock.held(paths.lock("hive"), "hive"))
        await stack.enter_async_context(bounded_output(paths.log_file("hive")))
        narrate(
            "hive_start",
            "starting hive {name}",
            target=name,
            name=name,
            cute="hive {name} begins to hum",
            story='"Everybody up", calls hive {name}',
        )
        hive = await stack.enter_async_context(opened_hive(name, paths, settings))
        pacer = await stack.enter_async_context(pacing())
        runner = await stack.enter_async_context(running_jobs(partial(execute, hive), who="hive"))

        def add_services(server: grpc.aio.Server) -> list[str]:
            jobs = JobService(runner, pacer.pause_s)
            job_service_pb2_grpc.add_JobServiceServicer_to_server(jobs, server)
            hive_service_pb2_grpc.add_HiveServiceServicer_to_server(HiveService(hive), server)
            return SERVICES

        socket = paths.socket("hive")
        socket.unlink(missing_ok=True)  # the lock is ours, so whoever made it is gone
        address = await stack.enter_async_context(
            serving(f"unix:{socket}", add_services, find_story=runner.story_of)
        )
        held.publish(address=address, version=version("rbee"))
        announce(Ready(address=address, pid=os.getpid()))
        await stop_requested()
        narrate(
            "hive_stop",
            "stopping hive {name}",
            target=name,
            name=name,
            cute="hive {name} falls silent",
            story='"Home, everybody", calls hive {name}',
        )
        runner.close("the hive stops")


def main() -> None:
    """Parse the command line and run."""
    parser = argparse.ArgumentParser(prog="rbee-hive", description=__doc__)
    parser.add_argument("--name", default=LOCALHOST, help="how the queen knows this machine")
    name = parser.parse_args().name
    set_actor("hive")
    add_sink(write_line)
    sys.exit(run_daemon(run(name)))


if __name__ == "__main__":
    main()
