"""One ONNX Runtime session with its KV cache. The only file that knows onnxruntime.

The graph says how its cache is held (`layouts/signature.py`). ONNX Runtime falls back to the CPU
without an error when a provider cannot start: after loading, the provider in use must be the one
asked for.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import onnxruntime as untyped_onnxruntime
from numpy.typing import NDArray

from rbee_shared.errors import FailedPreconditionError, RbeeError, UnimplementedError
from rbee_worker.description import ModelDamagedError, ModelDescription
from rbee_worker.device import Device
from rbee_worker.layouts.buffers import Caches
from rbee_worker.layouts.confined import check_confined
from rbee_worker.layouts.graph_file import GraphFile
from rbee_worker.layouts.growing_cache import GrowingCache
from rbee_worker.layouts.own_cache import OwnCache
from rbee_worker.layouts.shared_cache import SharedCache
from rbee_worker.layouts.signature import Signature, Style, signature_of

ort: Any = untyped_onnxruntime

Floats = NDArray[np.float32]

PROVIDERS = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}
LOGIT_BYTES_MAX = 64 * 1024 * 1024  # of one run, where a graph puts out logits for every token
SEVERITY_FATAL = 4  # what it would print about a failed provider, we say better


class ProviderUnavailableError(FailedPreconditionError):
    """The device that was asked for cannot be used; there is no falling back."""

    reason = "DEVICE_UNAVAILABLE"
    hint = (
        "rbee never falls back to another device; for cuda check the NVIDIA driver, the CUDA 13"
        " libraries and cuDNN 9; `rbee device list` shows what is there"
    )

    def __init__(self, device: Device, why: str) -> None:
        super().__init__(f"device `{device}` cannot be used: {why}")


class ComputeError(RbeeError):
    """A run of the model failed; the request fails, the worker lives."""

    reason = "COMPUTE_FAILED"
    hint = "a shorter prompt or context needs less memory"


class _Cache(Protocol):
    def forward(self, tokens: Sequence[int], past: int) -> Floats: ...


class Session:
    """A loaded model with room for one sequence of `max_len` tokens. Used by one thread."""

    def __init__(
        self,
        folder: Path,
        description: ModelDescription,
        *,
        device: Device,
        threads: int,
        max_len: int,
    ) -> None:
        """Load the model; takes seconds.

        Raises:
            ModelDamagedError: a file is missing, cannot be read, or is not what is described.
            OutsideFolderError: the graph names data that is not in the folder.
            ProviderUnavailableError: the device is not the one in use afterwards.
            UnimplementedError: the graph is of a layout that is not known here.
            GraphTooLargeError: the graph is larger than any that is known.
        """
        self.max_len = max_len
        graph = GraphFile.read(folder, description.graph)
        check_confined(folder, graph)  # again: files change after they were described
        signature = signature_of(graph)
        _check_described(description, signature)
        self.style = signature.style
        row_bytes = description.vocab_size * 4
        rows_max = LOGIT_BYTES_MAX // row_bytes if signature.puts_out_all else max_len
        self._run_tokens_max = max(1, rows_max)
        path = graph.path
        del graph  # it may hold weights
        self._session: Any = _load(path, device, threads)
        self._cache = self._held(signature, description)

    def forward(self, tokens: Sequence[int], past: int) -> Floats:
        """Run the model over tokens that follow `past` others, and return the last one's logits.

        Args:
            tokens: at least one; with `past` at most `max_len`.
            past: tokens that the cache holds already.

        Returns:
            float32 [vocabulary], valid until the next call.

        Raises:
            ComputeError: it could not be computed.
        """
        cut = self._run_tokens_max
        for begin in range(0, len(tokens) - cut, cut):
            self._cache.forward(tokens[begin : begin + cut], past + begin)
        rest = (len(tokens) - 1) // cut * cut
        return self._cache.forward(tokens[rest:] if rest else tokens, past + rest)

    def _held(self, signature: Signature, description: ModelDescription) -> _Cache:
        heads, size = description.kv_heads, description.head_dim
        binding = self._session.io_binding
        if signature.style is Style.COMPAT:
            return GrowingCache(binding, self._run, signature, kv_heads=heads, head_dim=size)
        caches = Caches(signature, kv_heads=heads, head_dim=size, max_len=self.max_len)
        if signature.style is Style.SHARED:
            return SharedCache(binding, self._run, caches, signature.kinds)
        return OwnCache(binding, self._run, caches, description.vocab_size)

    def _run(self, binding: Any) -> None:
        try:
            self._session.run_with_iobinding(binding)
        except Exception as error:  # onnxruntime's errors have no base of their own
            raise ComputeError(f"the model could not be run: {_first_line(error)}") from error


def _check_described(description: ModelDescription, signature: Signature) -> None:
    for name in ("layers", "kv_heads", "head_dim", "vocab_size"):
        found, said = getattr(signature, name), getattr(description, name)
        if found not in (None, said):
            raise ModelDamagedError(f"the model is described with {name} {said}, it has {found}")


def _load(path: Path, device: Device, threads: int) -> Any:
    provider = PROVIDERS[device.kind]
    if provider not in ort.get_available_providers():
        raise ProviderUnavailableError(device, "this ONNX Runtime was built without it")
    options: Any = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = SEVERITY_FATAL
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.add_session_config_entry("session.intra_op.allow_spinning", "1")
    settings: dict[str, str] = {}
    if device.kind == "cuda":
        ort.preload_dlls()
        settings = {"device_id": str(device.index)}
    ort.set_default_logger_severity(SEVERITY_FATAL)
    try:
        session: Any = ort.InferenceSession(str(path), options, providers=[(provider, settings)])
    except Exception as error:  # onnxruntime's errors have no base of their own
        raise _load_error(error, device, path) from error
    in_use = session.get_providers()[0]
    if in_use != provider:
        raise ProviderUnavailableError(device, f"ONNX Runtime would use {in_use}")
    return session


def _load_error(error: Exception, device: Device, path: Path) -> RbeeError:
    said = _first_line(error).replace(str(path), path.name)
    if type(error).__name__ == "NotImplemented":
        return UnimplementedError(
            f"ONNX Runtime cannot compute the graph on `{device}`: {said}",
            reason="OPERATOR_UNSUPPORTED",
            hint="another variant of the model may do: int8, int4, or float32",
        )
    if device.kind == "cuda":
        return ProviderUnavailableError(device, said)
    return ModelDamagedError(f"the model cannot be loaded: {said}")


def _first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)
