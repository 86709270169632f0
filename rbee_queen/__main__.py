"""`python -m rbee_queen`: serve the control plane until asked to stop.

The command line speaks through a unix socket in a folder that only the owner can enter. Clients in
other languages use TCP on loopback, where every local user can connect, and bring the token.
"""

import argparse
import os
import sys
from contextlib import AsyncExitStack
from functools import partial
from importlib.metadata import version

import grpc

from rbee.v1 import (
    fleet_service_pb2,
    fleet_service_pb2_grpc,
    job_service_pb2,
    job_service_pb2_grpc,
)
from rbee_queen.fleet_service import FleetService
from rbee_queen.journal.journal import opened_journal
from rbee_queen.journal.retention import tidying
from rbee_queen.operations import execute, resume
from rbee_queen.queen import opened_queen
from rbee_queen.recovery import recover
from rbee_shared.ids import check_loopback
from rbee_shared.jobs.job_service import JobService
from rbee_shared.jobs.pacing import pacing
from rbee_shared.jobs.runner import running_jobs
from rbee_shared.lifecycle import lock
from rbee_shared.lifecycle.daemon import run_daemon
from rbee_shared.lifecycle.logfile import bounded_output
from rbee_shared.lifecycle.ready import Ready, announce
from rbee_shared.lifecycle.signals import stop_requested
from rbee_shared.limits import MIB
from rbee_shared.narration.line import write_line
from rbee_shared.narration.narrate import add_sink, narrate, set_actor
from rbee_shared.paths import resolve
from rbee_shared.rpc.server import serving
from rbee_shared.rpc.token import TokenInterceptor, owner_token
from rbee_shared.settings import load

SERVICES = [
    service.full_name
    for module in (job_service_pb2, fleet_service_pb2)
    for service in module.DESCRIPTOR.services_by_name.values()
]


async def run(*, separate_hive: bool) -> None:
    """Serve until SIGINT or SIGTERM.

    Raises:
        AlreadyRunningError: this user's queen runs already.
        InvalidArgumentError: the TCP address is not on loopback, or a setting is malformed.
        FailedPreconditionError: the TCP address is taken.
    """
    paths = resolve().create()
    settings = load(paths.settings_file)
    async with AsyncExitStack() as stack:
        held = stack.enter_context(lock.held(paths.lock("queen"), "queen"))
        await stack.enter_async_context(bounded_output(paths.log_file("queen")))
        narrate(
            "queen_start",
            "starting the queen",
            target="queen",
            cute="the queen stretches her wings",
            story='"Good morning", says the queen',
        )
        queen = await stack.enter_async_context(
            opened_queen(
                paths, settings, separate_hive=separate_hive or settings.queen_separate_hive
            )
        )
        pacer = await stack.enter_async_context(pacing())
        journal = await stack.enter_async_context(opened_journal(paths.journal_file))
        runner = await stack.enter_async_context(
            running_jobs(
                partial(execute, queen), who="queen", registry=queen.jobs, recorder=journal
            )
        )
        await recover(journal, runner, partial(resume, queen))
        await stack.enter_async_context(
            tidying(journal, queen.jobs, bytes_max=settings.queen_journal_mib * MIB)
        )

        def add_services(server: grpc.aio.Server) -> list[str]:
            jobs = JobService(runner, pacer.pause_s)
            job_service_pb2_grpc.add_JobServiceServicer_to_server(jobs, server)
            fleet_service_pb2_grpc.add_FleetServiceServicer_to_server(FleetService(queen), server)
            return SERVICES

        token = TokenInterceptor(owner_token(paths.token_file))
        find_story = runner.story_of
        tcp = await stack.enter_async_context(
            serving(
                check_loopback(settings.queen_listen),
                add_services,
                find_story=find_story,
                interceptors=[token],
            )
        )
        socket = paths.socket("queen")
        socket.unlink(missing_ok=True)  # the lock is ours, so whoever made it is gone
        address = await stack.enter_async_context(
            serving(f"unix:{socket}", add_services, find_story=find_story)
        )
        queen.addresses = [address, tcp]
        held.publish(address=address, version=version("rbee"))
        narrate(
            "queen_ready",
            "the queen takes calls",
            target="queen",
            tcp=tcp,
            cute="the queen is all ears",
            story='"What can I do for you?" asks the queen',
        )
        announce(Ready(address=address, pid=os.getpid()))
        await stop_requested()
        narrate(
            "queen_stop",
            "stopping the queen",
            target="queen",
            cute="the queen folds her wings",
            story='"Good night", says the queen',
        )
        runner.close("the queen stops")


def main() -> None:
    """Parse the command line and run."""
    parser = argparse.ArgumentParser(prog="rbee-queen", description=__doc__)
    parser.add_argument(
        "--separate-hive",
        action="store_true",
        help="run this machine's hive as a process of its own",
    )
    separate_hive = parser.parse_args().separate_hive
    set_actor("queen")
    add_sink(write_line)
    sys.exit(run_daemon(run(separate_hive=separate_hive)))


if __name__ == "__main__":
    main()
