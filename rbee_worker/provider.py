"""Loading a graph with ONNX Runtime on the device that was asked for, and on no other.

ONNX Runtime falls back to the CPU without an error when a provider cannot start: after loading, the
provider in use must be the one asked for.
"""

from pathlib import Path
from typing import Any

import onnxruntime as untyped_onnxruntime

from rbee_shared.errors import FailedPreconditionError, RbeeError, UnimplementedError
from rbee_worker.compute_error import OutOfMemoryError, first_line, is_out_of_memory
from rbee_worker.description import ModelDamagedError
from rbee_worker.device import Device

ort: Any = untyped_onnxruntime

PROVIDERS = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}
SEVERITY_FATAL = 4  # what it would print about a failed provider, we say better
SETTINGS = {
    # threads wait for the next operator by spinning; some 20 ms after a run they go to sleep
    "session.intra_op.allow_spinning": "1",
    # the last pieces of a product are small, so that threads end together: a tenth of a step
    "session.dynamic_block_base": "4",
}


class ProviderUnavailableError(FailedPreconditionError):
    """The device that was asked for cannot be used; there is no falling back."""

    reason = "DEVICE_UNAVAILABLE"
    hint = (
        "rbee never falls back to another device; `rbee doctor` says what is missing and what to"
        " install"
    )

    def __init__(self, device: Device, why: str) -> None:
        super().__init__(f"device `{device}` cannot be used: {why}")


def loaded(
    path: Path, *, device: Device, threads: int, graph: bytes | None = None, is_whole: bool = False
) -> Any:
    """Load a graph; takes seconds.

    Args:
        path: of the graph's file.
        device: the only one that may be used.
        threads: that compute.
        graph: what is loaded in the file's place; its data lies where the file's does.
        is_whole: the device must compute every operator; else ONNX Runtime may leave some that
            work out shapes to the CPU.

    Raises:
        ProviderUnavailableError: the device is not the one in use afterwards.
        ModelDamagedError: the graph cannot be loaded.
        UnimplementedError: an operator is not there for this device.
        OutOfMemoryError: there is no memory for the weights.
    """
    provider = PROVIDERS[device.kind]
    if provider not in ort.get_available_providers():
        raise ProviderUnavailableError(device, "this ONNX Runtime was built without it")
    options: Any = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = SEVERITY_FATAL
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_ALL
    for key, value in SETTINGS.items():
        options.add_session_config_entry(key, value)
    settings: dict[str, str] = {}
    if device.kind == "cuda":
        ort.preload_dlls()
        settings = {"device_id": str(device.index)}
        if is_whole:
            options.add_session_config_entry("session.disable_cpu_ep_fallback", "1")
    if graph is not None:
        folder_key = "session.model_external_initializers_file_folder_path"
        options.add_session_config_entry(folder_key, str(path.parent))
    ort.set_default_logger_severity(SEVERITY_FATAL)
    source = str(path) if graph is None else graph
    try:
        session: Any = ort.InferenceSession(source, options, providers=[(provider, settings)])
    except Exception as error:  # onnxruntime's errors have no base of their own
        raise _load_error(error, device, path) from error
    in_use = session.get_providers()[0]
    if in_use != provider:
        raise ProviderUnavailableError(device, f"ONNX Runtime would use {in_use}")
    return session


def _load_error(error: Exception, device: Device, path: Path) -> RbeeError:
    said = first_line(error).replace(str(path), path.name)
    if is_out_of_memory(error):
        return OutOfMemoryError(f"there was no memory for the model on `{device}`: {said}")
    if type(error).__name__ == "NotImplemented":
        return UnimplementedError(
            f"ONNX Runtime cannot compute the graph on `{device}`: {said}",
            reason="OPERATOR_UNSUPPORTED",
            hint="another variant of the model may do: int8, int4, or float32",
        )
    if device.kind == "cuda":
        return ProviderUnavailableError(device, said)
    return ModelDamagedError(f"the model cannot be loaded: {said}")
