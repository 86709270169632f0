"""Models, and what is told about them, as rows that a table or a JSON document shows. Pure."""

from typing import Any

from rbee.v1 import model_pb2
from rbee_keeper.rows import enum_word
from rbee_shared.contracts import wire

REVISION_SHOWN = 12  # characters of a commit that a table has
SUPERSEDED = "superseded"


def model_row(model: model_pb2.Model) -> dict[str, Any]:
    """Return all that is known of a model, but for its files."""
    return {**identity(model), **origin(model), **needs(model)}


def identity(model: model_pb2.Model) -> dict[str, Any]:
    """Return what a model is."""
    return {
        "alias": model.alias,
        "reference": model.reference,
        "hive": model.hive,
        "state": enum_word(model_pb2.ModelState.Name, model.state, "MODEL_STATE_"),
        "superseded": model.superseded,
        "architecture": model.architecture,
        "parameters": model.parameter_count,
        "quantization": model.quantization,
        "context_length": model.context_length,
        "has_chat_template": model.has_chat_template,
        "licence": model.licence,
    }


def origin(model: model_pb2.Model) -> dict[str, Any]:
    """Return where a model is from, and what was made of it."""
    return {
        "source": model.source,
        "revision": model.revision,
        "source_sha256": model.source_sha256,
        "archive_sha256": model.archive_sha256,
        "converter": model.converter,
        "layout": model.layout,
        "folder": model.folder,
        "create_time": wire.iso(model.create_time),
    }


def needs(model: model_pb2.Model) -> dict[str, Any]:
    """Return what a model takes on disk and in memory."""
    return {
        "size_bytes": model.size_bytes,
        "required_memory_bytes": model.required_memory_bytes,
        "kv_bytes_per_token": model.kv_bytes_per_token,
    }


def listed(row: dict[str, Any]) -> dict[str, Any]:
    """Return a model's row as a table has it: short, without zeros that nobody counted."""
    is_old = row["superseded"] and row["state"] == "available"
    return {
        **row,
        "context_length": row["context_length"] or None,
        "size_bytes": row["size_bytes"] or None,
        "revision": row["revision"][:REVISION_SHOWN],
        "state": SUPERSEDED if is_old else row["state"],
    }


def name_of(model: model_pb2.Model) -> str:
    """Return what people call a model: its alias, else the end of its reference."""
    return model.alias or model.reference.rpartition("/")[2]


def file_row(file: model_pb2.ModelFile) -> dict[str, Any]:
    """Return a file of a model."""
    return {"path": file.path, "size_bytes": file.size_bytes, "sha256": file.sha256}


def fault_row(fault: model_pb2.ModelFault) -> dict[str, Any]:
    """Return what is wrong with a file."""
    return {
        "reference": fault.reference,
        "path": fault.path,
        "message": fault.message,
        "repaired": fault.repaired,
    }


def fit_row(fit: model_pb2.DeviceFit) -> dict[str, Any]:
    """Return whether a model fits a device; None where its need is not known."""
    is_known = fit.required_memory_bytes > 0
    return {
        "device": fit.device,
        "required_memory_bytes": fit.required_memory_bytes if is_known else None,
        "free_memory_bytes": fit.free_memory_bytes,
        "fits": fit.fits if is_known else None,
    }
