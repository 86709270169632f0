"""What a hive can be asked to do: one coroutine an operation, each inside the caller's job.

It reads the operation, calls the domain and makes the typed result; it decides nothing.
"""

from rbee.v1 import operation_pb2 as pb
from rbee_hive.hive import Hive
from rbee_hive.infer import infer, wanted_for
from rbee_hive.models import wire as model_wire
from rbee_hive.wire import device_to_proto, worker_to_proto
from rbee_shared.contracts import wire
from rbee_shared.errors import InvalidArgumentError, UnimplementedError
from rbee_shared.jobs.self_check import self_check


async def execute(hive: Hive, operation: pb.Operation) -> pb.Result:
    """Do one operation inside the caller's job and return its typed result.

    Raises:
        RbeeError: why it cannot be done.
        UnimplementedError: this hive does not know how.
    """
    with hive.doing():
        return await _execute(hive, operation)


async def _execute(hive: Hive, operation: pb.Operation) -> pb.Result:
    match operation.WhichOneof("kind"):
        case "infer":
            return pb.Result(infer=await infer(hive, operation.infer))
        case "self_check":
            checks = await self_check("hive")
            return pb.Result(self_check=pb.SelfCheckResult(checks=checks))
        case "model_download":
            return pb.Result(model_download=await _model_download(hive, operation.model_download))
        case "model_list":
            return pb.Result(model_list=await _model_list(hive))
        case "model_get":
            return pb.Result(model_get=await _model_get(hive, operation.model_get))
        case "model_delete":
            return pb.Result(model_delete=await _model_delete(hive, operation.model_delete))
        case "worker_spawn":
            return pb.Result(worker_spawn=await _worker_spawn(hive, operation.worker_spawn))
        case "worker_list":
            return pb.Result(worker_list=_worker_list(hive))
        case "worker_get":
            return pb.Result(worker_get=_worker_get(hive, operation.worker_get))
        case "worker_delete":
            return pb.Result(worker_delete=await _worker_delete(hive, operation.worker_delete))
        case "worker_logs":
            return pb.Result(worker_logs=_worker_logs(hive, operation.worker_logs))
        case "device_list":
            return pb.Result(device_list=await _device_list(hive))
        case None:
            raise InvalidArgumentError("operation.kind is not set", reason="OPERATION_MISSING")
        case kind:
            raise UnimplementedError(f"this hive cannot do `{kind}` yet")


async def _model_download(
    hive: Hive, operation: pb.ModelDownloadOperation
) -> pb.ModelDownloadResult:
    _refuse_unsupported(operation)
    was_present = await hive.models.find(operation.model) is not None
    model = await hive.models.pull(operation.model)
    return pb.ModelDownloadResult(
        model=model_wire.model_to_proto(model, hive=hive.name), was_present=was_present
    )


def _refuse_unsupported(operation: pb.ModelDownloadOperation) -> None:
    asked = {field.name for field, _ in operation.ListFields()} - {"model", "hive"}
    if asked:
        raise UnimplementedError(
            f"this hive cannot keep {', '.join(sorted(asked))} yet", reason="TERMS_UNSUPPORTED"
        )


async def _model_list(hive: Hive) -> pb.ModelListResult:
    models, faults = await hive.models.list()
    return pb.ModelListResult(
        models=[model_wire.model_to_proto(model, hive=hive.name) for model in models],
        faults=[model_wire.fault_to_proto(fault) for fault in faults],
    )


async def _model_get(hive: Hive, operation: pb.ModelGetOperation) -> pb.ModelGetResult:
    model = await hive.models.get(operation.model)
    return pb.ModelGetResult(model=model_wire.model_to_proto(model, hive=hive.name, files=True))


async def _model_delete(hive: Hive, operation: pb.ModelDeleteOperation) -> pb.ModelDeleteResult:
    model = await hive.models.find(operation.model)  # None where it is damaged, or not here
    reference = model.reference if model else operation.model
    if operation.force:
        await hive.workers.release(reference)
    users = [worker.spec.id for worker in hive.workers.users_of(reference)]
    await hive.models.delete(operation.model, in_use_by=users)
    return pb.ModelDeleteResult(reference=reference, freed_bytes=model.size_bytes if model else 0)


async def _worker_spawn(hive: Hive, operation: pb.WorkerSpawnOperation) -> pb.WorkerSpawnResult:
    wanted = await wanted_for(
        hive,
        operation.model,
        device=operation.device,
        cores=operation.cores,
        context_length=operation.context_length,
        keep_alive_s=wire.seconds(operation.keep_alive)
        if operation.HasField("keep_alive")
        else None,
    )
    worker = await hive.workers.spawn(wanted)
    return pb.WorkerSpawnResult(worker=worker_to_proto(worker, hive.name))


def _worker_list(hive: Hive) -> pb.WorkerListResult:
    workers = hive.workers.all()
    return pb.WorkerListResult(workers=[worker_to_proto(each, hive.name) for each in workers])


def _worker_get(hive: Hive, operation: pb.WorkerGetOperation) -> pb.WorkerGetResult:
    worker = hive.workers.get(operation.worker_id)
    return pb.WorkerGetResult(worker=worker_to_proto(worker, hive.name))


async def _worker_delete(hive: Hive, operation: pb.WorkerDeleteOperation) -> pb.WorkerDeleteResult:
    worker = await hive.workers.delete(operation.worker_id, force=operation.force)
    return pb.WorkerDeleteResult(worker=worker_to_proto(worker, hive.name))


def _worker_logs(hive: Hive, operation: pb.WorkerLogsOperation) -> pb.WorkerLogsResult:
    if operation.line_count_max < 0:
        raise InvalidArgumentError(
            "line_count_max is negative", reason="LINE_COUNT_MALFORMED", hint="0 is all of them"
        )
    lines = hive.workers.get(operation.worker_id).lines()
    return pb.WorkerLogsResult(lines=lines[-operation.line_count_max :])


async def _device_list(hive: Hive) -> pb.DeviceListResult:
    devices = [device_to_proto(each) for each in await hive.workers.devices()]
    return pb.DeviceListResult(hives=[pb.HiveDevices(hive=hive.name, devices=devices)])
