"""Models as wire messages."""

from collections.abc import Sequence

from rbee.v1 import model_pb2
from rbee_hive.devices import Device
from rbee_hive.models.catalog import superseded
from rbee_hive.models.metadata import ModelFault, StoredModel
from rbee_hive.models.plan import Plan
from rbee_hive.workers.admission import Demand, default_context
from rbee_shared.contracts import wire
from rbee_shared.references.reference import Reference


def models_to_proto(models: Sequence[StoredModel], *, hive: str) -> list[model_pb2.Model]:
    """Return the models of a hive for the wire; those that a newer one supersedes say so."""
    old = {model.folder for model in superseded(models)}
    messages = [model_to_proto(model, hive=hive) for model in models]
    for model, message in zip(models, messages, strict=True):
        message.superseded = model.folder in old
    return messages


def model_to_proto(model: StoredModel, *, hive: str, files: bool = False) -> model_pb2.Model:
    """Return a model of a hive for the wire, with its files if asked for."""
    found = model.description
    message = model_pb2.Model(
        reference=model.reference,
        alias=model.alias,
        hive=hive,
        state=model_pb2.MODEL_STATE_AVAILABLE,
        revision=model.revision,
        architecture=found.architecture,
        quantization=found.quantization,
        parameter_count=found.parameter_count,
        context_length=found.context_length,
        licence=found.licence,
        size_bytes=model.size_bytes,
        required_memory_bytes=demand_of(model).memory_bytes,
        has_chat_template=found.has_chat_template,
        create_time=wire.timestamp(model.create_time_s),
        source=model.source,
        layout=found.layout,
        converter=model.converter,
        source_sha256=model.source_sha256,
        archive_sha256=model.archive_sha256,
        kv_bytes_per_token=model.kv_bytes_per_token,
        folder=str(model.folder),
    )
    if files:
        message.files.extend(
            model_pb2.ModelFile(path=each.path, size_bytes=each.size_bytes, sha256=each.sha256)
            for each in model.files
        )
    return message


def demand_of(model: StoredModel) -> Demand:
    """Return what a worker for the model asks for if nobody says more."""
    context_length = default_context(model.context_length)
    return Demand(model.weights_bytes, model.kv_bytes_per_token, context_length)


def fits_to_proto(needed_bytes: int, devices: Sequence[Device]) -> list[model_pb2.DeviceFit]:
    """Return which devices have room for so much now."""
    return [
        model_pb2.DeviceFit(
            device=device.id,
            required_memory_bytes=needed_bytes,
            free_memory_bytes=device.free_memory_bytes,
            fits=needed_bytes <= device.free_memory_bytes,
        )
        for device in devices
    ]


def plan_to_proto(plan: Plan, *, devices: Sequence[Device]) -> model_pb2.DownloadPlan:
    """Return what a pull would do for the wire."""
    memory_bytes = Demand(plan.weights_bytes, 0, 0).memory_bytes  # its context is known later
    return model_pb2.DownloadPlan(
        reference=plan.reference,
        revision=plan.revision,
        choices=[
            model_pb2.ModelFileChoice(
                path=each.path, size_bytes=each.size_bytes, chosen=each.chosen, reason=each.reason
            )
            for each in plan.choices
        ],
        fetch_bytes=plan.fetch_bytes,
        reused_bytes=plan.reused_bytes,
        required_disk_bytes=plan.required_disk_bytes,
        free_disk_bytes=plan.free_disk_bytes,
        fits=fits_to_proto(memory_bytes, devices) if memory_bytes else [],
        is_present=plan.is_present,
    )


def pulling_to_proto(reference: Reference, *, hive: str) -> model_pb2.Model:
    """Return a model that is being pulled for the wire."""
    return model_pb2.Model(
        reference=reference.text,
        alias=reference.alias,
        hive=hive,
        state=model_pb2.MODEL_STATE_PULLING,
    )


def fault_to_proto(fault: ModelFault, *, repaired: bool = False) -> model_pb2.ModelFault:
    """Return what is wrong with an entry for the wire, and whether it was mended."""
    return model_pb2.ModelFault(
        reference=fault.reference, path=fault.path, message=fault.message, repaired=repaired
    )
