"""What a hive can be asked to do: one coroutine an operation, each inside the caller's job.

It reads the operation, calls the domain and makes the typed result; it decides nothing.
"""

from rbee.v1 import operation_pb2 as pb
from rbee_hive.embed import embed
from rbee_hive.hive import Hive
from rbee_hive.infer import infer, wanted_for
from rbee_hive.models import wire as model_wire
from rbee_hive.models.plan import planned
from rbee_hive.models.upkeep import prune, take_in, verify_models
from rbee_hive.wire import check_to_proto, device_to_proto, worker_to_proto
from rbee_shared.contracts import wire
from rbee_shared.doctor import examined
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
        case "embed":
            return pb.Result(embed=await embed(hive, operation.embed))
        case "self_check":
            return pb.Result(self_check=await _self_check(hive, operation.self_check))
        case "model_download":
            return pb.Result(model_download=await _model_download(hive, operation.model_download))
        case "model_list":
            return pb.Result(model_list=await _model_list(hive))
        case "model_get":
            return pb.Result(model_get=await _model_get(hive, operation.model_get))
        case "model_delete":
            return pb.Result(model_delete=await _model_delete(hive, operation.model_delete))
        case "model_verify":
            return pb.Result(model_verify=await _model_verify(hive, operation.model_verify))
        case "model_prune":
            return pb.Result(model_prune=await _model_prune(hive, operation.model_prune))
        case "model_import":
            return pb.Result(model_import=await _model_import(hive, operation.model_import))
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


async def _self_check(hive: Hive, operation: pb.SelfCheckOperation) -> pb.SelfCheckResult:
    if operation.machine:
        found = [check_to_proto(each, hive.name) for each in await examined()]
        return pb.SelfCheckResult(checks=found)
    return pb.SelfCheckResult(checks=await self_check("hive"))


async def _model_download(
    hive: Hive, operation: pb.ModelDownloadOperation
) -> pb.ModelDownloadResult:
    if operation.rate_bytes_max < 0:
        raise InvalidArgumentError(
            "rate_bytes_max is negative", reason="RATE_MALFORMED", hint="0 is no limit"
        )
    reference = hive.models.reference(
        operation.model,
        file=operation.file,
        quantization=operation.quantization,
        weights=operation.weights,
    )
    if operation.dry_run:
        plan = await planned(reference, hive.models)
        return pb.ModelDownloadResult(
            plan=model_wire.plan_to_proto(plan, devices=await hive.workers.devices())
        )
    before = await hive.models.find(reference)
    model = await hive.models.pull(reference, rate_bytes_max=operation.rate_bytes_max)
    return pb.ModelDownloadResult(
        model=model_wire.model_to_proto(model, hive=hive.name),
        was_present=before is not None and before.folder == model.folder,
    )


async def _model_list(hive: Hive) -> pb.ModelListResult:
    models, faults = await hive.models.list()
    return pb.ModelListResult(
        models=model_wire.models_to_proto(models, hive=hive.name),
        faults=[model_wire.fault_to_proto(fault) for fault in faults],
    )


async def _model_get(hive: Hive, operation: pb.ModelGetOperation) -> pb.ModelGetResult:
    model = await hive.models.get(hive.models.reference(operation.model))
    devices = await hive.workers.devices()
    return pb.ModelGetResult(
        model=model_wire.model_to_proto(model, hive=hive.name, files=True),
        fits=model_wire.fits_to_proto(model_wire.demand_of(model).memory_bytes, devices),
    )


async def _model_delete(hive: Hive, operation: pb.ModelDeleteOperation) -> pb.ModelDeleteResult:
    reference = hive.models.reference(operation.model)
    if operation.force:
        await hive.workers.release(reference.text)
    users = [worker.spec.id for worker in hive.workers.users_of(reference.text)]
    freed_bytes = await hive.models.delete(reference, in_use_by=users)
    return pb.ModelDeleteResult(reference=reference.text, freed_bytes=freed_bytes)


async def _model_verify(hive: Hive, operation: pb.ModelVerifyOperation) -> pb.ModelVerifyResult:
    found = await verify_models(hive.models, operation.model, repair=operation.repair)
    return pb.ModelVerifyResult(
        model_count=found.model_count,
        file_count=found.file_count,
        faults=[
            model_wire.fault_to_proto(fault, repaired=repaired) for fault, repaired in found.faults
        ],
    )


async def _model_prune(hive: Hive, operation: pb.ModelPruneOperation) -> pb.ModelPruneResult:
    in_use = {worker.spec.folder for worker in hive.workers.all()}
    pruned = await prune(hive.models, in_use=in_use, dry_run=operation.dry_run)
    return pb.ModelPruneResult(
        paths=[pb.PrunedPath(path=str(path), size_bytes=size_bytes) for path, size_bytes in pruned],
        freed_bytes=sum(size_bytes for _, size_bytes in pruned),
    )


async def _model_import(hive: Hive, operation: pb.ModelImportOperation) -> pb.ModelImportResult:
    model, was_present = await take_in(hive.models, operation.path, weights=operation.weights)
    return pb.ModelImportResult(
        model=model_wire.model_to_proto(model, hive=hive.name), was_present=was_present
    )


async def _worker_spawn(hive: Hive, operation: pb.WorkerSpawnOperation) -> pb.WorkerSpawnResult:
    wanted = await wanted_for(
        hive,
        operation.model,
        device=operation.device,
        cores=operation.cores,
        context_length=operation.context_length,
        slots=operation.slots,
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
