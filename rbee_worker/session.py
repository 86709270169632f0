"""One ONNX Runtime session with its KV cache. The only file that knows onnxruntime.

The cache is one buffer a layer, [slots, kv_heads, max_len, head_dim], bound by pointer as input and
output at once, so a run writes its keys and values in place and nothing is copied. ONNX Runtime
falls back to the CPU without an error when a provider cannot start: after loading, the provider in
use must be the one asked for.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as untyped_onnxruntime
from numpy.typing import NDArray

from rbee_shared.errors import FailedPreconditionError, RbeeError, UnimplementedError
from rbee_worker.description import ModelDamagedError, ModelDescription
from rbee_worker.device import Device

ort: Any = untyped_onnxruntime

Floats = NDArray[np.float32]

PROVIDERS = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}
MODEL_FILE = "model.onnx"
STEP_INPUTS = {"input_ids", "seqlens_k", "total_len", "logit_pos"}
BINDINGS_KEPT_MAX = 8  # building one costs more than a millisecond
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


@dataclass(slots=True)
class _Bound:
    """A binding and the arrays that it reads and writes, which keep their places in memory."""

    binding: Any
    ids: NDArray[np.int64]
    seqlens: NDArray[np.int32]
    total: NDArray[np.int32]
    logit_positions: NDArray[np.int64]
    logits: Floats


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
            ModelDamagedError: a file is missing or cannot be read.
            ProviderUnavailableError: the device is not the one in use afterwards.
            UnimplementedError: the graph is of a layout that is not known here.
        """
        self.max_len = max_len
        self._description = description
        self._device = device
        self._session: Any = _load(folder, device, threads)
        self._check_layout()
        shape = (1, description.kv_heads, max_len, description.head_dim)
        # zeros come as untouched pages: memory is taken as tokens come
        self._caches = [np.zeros(shape, np.float32) for _ in range(2 * description.layers)]
        self._bindings: dict[int, _Bound] = {}

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
        bound = self._bindings.get(len(tokens)) or self._bind(len(tokens))
        bound.ids[0] = tokens
        bound.seqlens[0] = past + len(tokens) - 1
        bound.total[...] = past + len(tokens)
        bound.logit_positions[0] = len(tokens) - 1
        try:
            self._session.run_with_iobinding(bound.binding)
        except Exception as error:  # onnxruntime's errors have no base of their own
            raise ComputeError(f"the model could not be run: {_first_line(error)}") from error
        return bound.logits[0]

    def _bind(self, length: int) -> _Bound:
        binding: Any = self._session.io_binding()
        bound = _Bound(
            binding,
            ids=np.zeros((1, length), np.int64),
            seqlens=np.zeros(1, np.int32),
            total=np.zeros((), np.int32),
            logit_positions=np.zeros(1, np.int64),
            logits=np.zeros((1, self._description.vocab_size), np.float32),
        )
        for name, array in (
            ("input_ids", bound.ids),
            ("seqlens_k", bound.seqlens),
            ("total_len", bound.total),
            ("logit_pos", bound.logit_positions),
        ):
            binding.bind_input(name, "cpu", 0, array.dtype.type, array.shape, array.ctypes.data)
        logits = bound.logits
        binding.bind_output("logits", "cpu", 0, np.float32, logits.shape, logits.ctypes.data)
        for index, cache in enumerate(self._caches):
            layer, part = index // 2, ("key", "value")[index % 2]
            place = ("cpu", 0, np.float32, cache.shape, cache.ctypes.data)
            binding.bind_input(f"past_key_values.{layer}.{part}", *place)
            binding.bind_output(f"present.{layer}.{part}", *place)
        if len(self._bindings) >= BINDINGS_KEPT_MAX:
            del self._bindings[next(iter(self._bindings))]
        self._bindings[length] = bound
        return bound

    def _check_layout(self) -> None:
        names = {each.name for each in self._session.get_inputs()}
        caches = {
            f"past_key_values.{layer}.{part}"
            for layer in range(self._description.layers)
            for part in ("key", "value")
        }
        if wrong := names ^ (STEP_INPUTS | caches):
            raise UnimplementedError(
                f"the graph's inputs are not known: {', '.join(sorted(wrong)[:5])}",
                reason="LAYOUT_UNSUPPORTED",
                hint="a model that rbee converted from a GGUF has the layout that is",
            )


def _load(folder: Path, device: Device, threads: int) -> Any:
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
    if not (folder / MODEL_FILE).is_file():
        raise ModelDamagedError(f"the model has no `{MODEL_FILE}`")
    try:
        session: Any = ort.InferenceSession(
            str(folder / MODEL_FILE), options, providers=[(provider, settings)]
        )
    except Exception as error:  # onnxruntime's errors have no base of their own
        if device.kind == "cuda":
            raise ProviderUnavailableError(device, _first_line(error)) from error
        raise ModelDamagedError(f"the model cannot be loaded: {_first_line(error)}") from error
    in_use = session.get_providers()[0]
    if in_use != provider:
        raise ProviderUnavailableError(device, f"ONNX Runtime would use {in_use}")
    return session


def _first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)
