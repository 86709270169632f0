"""Models as wire messages."""

from rbee.v1 import model_pb2
from rbee_hive.models.metadata import ModelFault, StoredModel
from rbee_hive.models.reference import Reference
from rbee_hive.workers.admission import Demand
from rbee_shared.contracts import wire


def model_to_proto(model: StoredModel, *, hive: str, files: bool = False) -> model_pb2.Model:
    """Return a model of a hive for the wire, with its files if asked for."""
    found = model.description
    demand = Demand(model.weights_bytes, model.kv_bytes_per_token, model.context_length)
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
        required_memory_bytes=demand.memory_bytes,
        has_chat_template=found.has_chat_template,
        create_time=wire.timestamp(model.create_time_s),
    )
    if files:
        message.files.extend(
            model_pb2.ModelFile(path=each.path, size_bytes=each.size_bytes, sha256=each.sha256)
            for each in model.files
        )
    return message


def pulling_to_proto(reference: Reference, *, hive: str) -> model_pb2.Model:
    """Return a model that is being pulled for the wire."""
    return model_pb2.Model(
        reference=reference.text,
        alias=reference.alias,
        hive=hive,
        state=model_pb2.MODEL_STATE_PULLING,
    )


def fault_to_proto(fault: ModelFault) -> model_pb2.ModelFault:
    """Return what is wrong with an entry for the wire."""
    return model_pb2.ModelFault(reference=fault.reference, path=fault.path, message=fault.message)
