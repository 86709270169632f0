"""What the queen can be asked to do: one coroutine an operation, each inside the caller's job.

Work is done by hives: the queen chooses one, or asks all of them and joins what they say.
"""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from rbee.v1 import job_pb2, operation_pb2 as pb
from rbee_queen import wire
from rbee_queen.fleet import HiveState
from rbee_queen.hive_link import HiveLink
from rbee_queen.naming import in_full, told
from rbee_queen.placement import Request, place
from rbee_queen.queen import Queen
from rbee_shared.errors import (
    InvalidArgumentError,
    NotFoundError,
    UnavailableError,
    UnimplementedError,
    WorkerNotFoundError,
    known,
)
from rbee_shared.ids import LOCALHOST
from rbee_shared.jobs.self_check import self_check
from rbee_shared.narration.context import current
from rbee_shared.narration.event import Level
from rbee_shared.narration.narrate import narrate

# operations that one hive does all of, so that its story and result are the job's
RESUMED = {
    "infer",
    "embed",
    "model_download",
    "model_delete",
    "model_verify",
    "model_prune",
    "model_import",
    "worker_spawn",
    "worker_delete",
}
PLACED = ("infer", "embed")  # their results say where they were done and why
HEARD = (HiveState.ACTIVE, HiveState.DRAINING)
HIVES_HINT = "`rbee hive list` shows the hives and their state"


async def execute(queen: Queen, operation: pb.Operation) -> pb.Result:
    """Do one operation.

    Raises:
        RbeeError: why it cannot be done.
        UnimplementedError: this queen does not know how.
    """
    operation = in_full(operation, home=Path.home(), aliases=queen.aliases)
    match operation.WhichOneof("kind"):
        case "infer":
            asked = operation.infer
            request = Request(asked.model, asked.hive, asked.device, asked.worker_id)
            return await _placed(queen, operation, request, dry_run=asked.dry_run)
        case "embed":
            asked = operation.embed
            return await _placed(queen, operation, Request(asked.model, asked.hive, asked.device))
        case "status":
            return pb.Result(status=queen.status())
        case "self_check":
            return await _self_check(queen, operation)
        case "hive_list":
            await queen.watch.settled()
            return pb.Result(hive_list=pb.HiveListResult(hives=queen.watch.hives()))
        case "hive_get":
            await queen.watch.settled()
            hive = queen.watch.hive(operation.hive_get.name)
            return pb.Result(hive_get=pb.HiveGetResult(hive=hive))
        case "model_download":
            return await _on(queen, operation.model_download.hive or LOCALHOST, operation)
        case "model_list":
            return await _on_all(queen, operation.model_list.hive, operation)
        case "model_get":
            return await _on_first(queen, operation.model_get.hive, operation)
        case "model_delete":
            return await _on(queen, operation.model_delete.hive or LOCALHOST, operation)
        case "model_verify":
            return await _on(queen, operation.model_verify.hive or LOCALHOST, operation)
        case "model_prune":
            return await _on(queen, operation.model_prune.hive or LOCALHOST, operation)
        case "model_import":
            return await _on(queen, operation.model_import.hive or LOCALHOST, operation)
        case "worker_spawn":
            return await _worker_spawn(queen, operation)
        case "worker_list":
            return await _on_all(queen, operation.worker_list.hive, operation)
        case "worker_get":
            return await _at_worker(queen, operation, operation.worker_get)
        case "worker_delete":
            return await _at_worker(queen, operation, operation.worker_delete)
        case "worker_logs":
            return await _at_worker(queen, operation, operation.worker_logs)
        case "device_list":
            return await _on_all(queen, operation.device_list.hive, operation)
        case None:
            raise InvalidArgumentError("operation.kind is not set", reason="OPERATION_MISSING")
        case kind:
            raise UnimplementedError(f"this queen cannot do `{kind}` yet")


async def resume(queen: Queen, job: job_pb2.Job, hive: str, sequence: int) -> pb.Result:
    """Go on with a job that an earlier queen gave to a hive.

    Args:
        queen: this one.
        job: what was asked for, and where it was placed.
        hive: who does it.
        sequence: how much of the hive's story of it is in the job's own.

    Raises:
        RbeeError: why it ended, or why it cannot be gone on with.
    """
    kind = job.operation.WhichOneof("kind") or ""
    if kind not in RESUMED:
        raise UnavailableError(
            f"the queen ended in the middle of `{kind}`",
            reason="QUEEN_RESTARTED",
            hint="run it again",
        )
    result = await queen.link(hive).resume(kind, sequence)
    if kind in PLACED:
        getattr(result, kind).placement.CopyFrom(job.placement)
    return result


async def _placed(
    queen: Queen, operation: pb.Operation, request: Request, *, dry_run: bool = False
) -> pb.Result:
    """Have it done by the hive that suits best; the result says where, why, and what else could."""
    kind = operation.WhichOneof("kind") or ""
    if not request.model:
        raise InvalidArgumentError(f"{kind}.model is not set", reason="MODEL_MISSING")
    await queen.watch.settled()
    candidates = place(request, queen.watch.fleet.all())
    placement = wire.placement_to_proto(candidates)
    chosen = candidates[0]
    if entry := queen.jobs.find(current().job_id):
        entry.request.placement.CopyFrom(placement)
    if dry_run:
        return pb.Result(infer=pb.InferResult(hive=chosen.hive, placement=placement))
    narrate(
        "infer_place",
        "{model} goes to hive {hive}: {why}",
        target=chosen.hive,
        level=Level.DEBUG,
        model=told(request.model, home=Path.home(), aliases=queen.aliases),
        hive=chosen.hive,
        why=chosen.reason,
        cute="{model} flies to hive {hive}: {why}",
        story='"{model} is for you, {hive}", says the queen: {why}',
    )
    result = await queen.link(chosen.hive).run(operation)
    getattr(result, kind).placement.CopyFrom(placement)
    return result


async def _worker_spawn(queen: Queen, operation: pb.Operation) -> pb.Result:
    asked = operation.worker_spawn
    if not asked.model:
        raise InvalidArgumentError("worker_spawn.model is not set", reason="MODEL_MISSING")
    await queen.watch.settled()
    chosen = place(Request(asked.model, asked.hive, asked.device), queen.watch.fleet.all())[0]
    return await _on(queen, chosen.hive, operation)


async def _self_check(queen: Queen, operation: pb.Operation) -> pb.Result:
    if operation.self_check.machine:  # the queen computes nothing: her machine's hive speaks for it
        return await _on_all(queen, operation.self_check.hive, operation)
    checks = await self_check("queen")
    for link in await _links(queen, operation.self_check.hive):
        result = await link.run(operation)
        checks.extend(result.self_check.checks)
    return pb.Result(self_check=pb.SelfCheckResult(checks=checks))


async def _on(queen: Queen, hive: str, operation: pb.Operation) -> pb.Result:
    await queen.watch.settled()
    return await _link(queen, hive).run(operation)


async def _on_all(queen: Queen, hive: str, operation: pb.Operation) -> pb.Result:
    links = await _links(queen, hive)
    try:
        async with asyncio.TaskGroup() as tasks:
            works = [tasks.create_task(link.run(operation)) for link in links]
    except ExceptionGroup as group:
        raise known(group) or group from None
    joined = pb.Result()
    for work in works:
        joined.MergeFrom(work.result())  # repeated fields of the same result are appended
    return joined


async def _on_first(queen: Queen, hive: str, operation: pb.Operation) -> pb.Result:
    first, *others = await _links(queen, hive)
    try:
        return await first.run(operation)
    except NotFoundError as error:
        missing = error
    for link in others:
        with suppress(NotFoundError):
            return await link.run(operation)
    raise missing


async def _at_worker(
    queen: Queen,
    operation: pb.Operation,
    asked: pb.WorkerGetOperation | pb.WorkerDeleteOperation | pb.WorkerLogsOperation,
) -> pb.Result:
    hive = asked.hive or queen.watch.fleet.hive_of_worker(asked.worker_id)
    if hive:
        return await _on(queen, hive, operation)
    try:
        return await _on_first(queen, "", operation)  # too new for the last snapshot
    except NotFoundError:
        raise WorkerNotFoundError(asked.worker_id) from None


async def _links(queen: Queen, hive: str) -> Sequence[HiveLink]:
    """Return the way to the hive asked for, or to all that can be heard: at least one."""
    await queen.watch.settled()
    if hive:
        return [_link(queen, hive)]
    links: list[HiveLink] = []
    for view in queen.watch.fleet.all():
        if view.state in HEARD:
            links.append(queen.link(view.name))
        else:
            narrate(
                "hive_leave_out",
                "hive {hive} is {state}: it is left out",
                target=view.name,
                level=Level.WARN,
                hive=view.name,
                state=view.state.name.lower(),
            )
    if not links:
        raise UnavailableError("no hive can be heard", reason="NO_HIVE", hint=HIVES_HINT)
    return links


def _link(queen: Queen, hive: str) -> HiveLink:
    if queen.watch.fleet.get(hive).state == HiveState.LOST:
        raise UnavailableError(
            f"hive `{hive}` cannot be heard", reason="HIVE_LOST", hint=HIVES_HINT
        )
    return queen.link(hive)
