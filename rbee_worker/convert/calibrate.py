"""Running a converted model over a text, to see how far the numbers in its KV cache reach.

The weights are mapped from their file, not copied, and nothing is laid out anew for speed.
"""

from collections.abc import Generator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as untyped_onnxruntime
from numpy.typing import NDArray

from rbee_shared.errors import DataLossError, RbeeError
from rbee_shared.machine import usable_cores
from rbee_shared.narration.event import Progress
from rbee_shared.narration.narrate import narrate
from rbee_worker.convert.cache_scales import key_reach, scales_of, value_reach
from rbee_worker.convert.shape import Shape

ort: Any = untyped_onnxruntime

Floats = NDArray[np.float32]

RUN_TOKENS = 128
SEVERITY_FATAL = 4  # what it would print, we say
PROVIDER = "CPUExecutionProvider"
SETTINGS = {
    "session.disable_prepacking": "1",  # a second copy of every matrix
    "session.intra_op.allow_spinning": "0",
}
FOLDER_SETTING = "session.model_external_initializers_file_folder_path"


class CalibrationError(RbeeError):
    """The converted model could not be run."""

    reason = "CALIBRATION_FAILED"
    hint = "converting runs the model once, which needs memory for it; as `#f32` it is not run"


class NotFiniteError(DataLossError):
    """The model computes infinities, or what is no number."""

    reason = "MODEL_NOT_FINITE"
    hint = "its weights are damaged, or are not what the file says; take another file of the model"


def cache_scales(
    folder: Path, model: bytes, shape: Shape, tokens: Sequence[int], *, name: str
) -> dict[str, Floats]:
    """Return the scales of a model's KV cache, for the name of each past.

    Args:
        folder: with the file of its weights.
        model: its graph, whose cache is in float32.
        shape: what it is.
        tokens: the text, at least one token.
        name: what people call the model.

    Raises:
        CalibrationError: it cannot be run.
        NotFiniteError: it computes what is no number.
    """
    size = (1, shape.kv_heads, len(tokens), shape.head_dim)
    caches = {
        f"past_key_values.{layer}.{part}": np.zeros(size, np.float32)
        for layer in range(shape.layers)
        for part in ("key", "value")
    }
    try:
        for done in _run(_session(folder, model), tokens, caches):
            _tell(name, done, len(tokens))
    except Exception as error:  # onnxruntime's errors have no base of their own
        line = next(iter(str(error).splitlines()), type(error).__name__)
        raise CalibrationError(f"the model cannot be run: {line}") from error
    return {past: _scales(past, cache[0], name) for past, cache in caches.items()}


def _session(folder: Path, model: bytes) -> Any:
    options: Any = ort.SessionOptions()
    options.intra_op_num_threads = usable_cores()
    options.inter_op_num_threads = 1
    options.enable_cpu_mem_arena = False
    options.enable_mem_pattern = False
    options.log_severity_level = SEVERITY_FATAL
    for key, value in {**SETTINGS, FOLDER_SETTING: str(folder)}.items():
        options.add_session_config_entry(key, value)
    return ort.InferenceSession(model, options, providers=[PROVIDER])


def _run(session: Any, tokens: Sequence[int], caches: dict[str, Floats]) -> Generator[int]:
    for begin in range(0, len(tokens), RUN_TOKENS):
        ids = np.array([tokens[begin : begin + RUN_TOKENS]], np.int64)
        end = begin + ids.size
        binding: Any = session.io_binding()
        binding.bind_cpu_input("input_ids", ids)
        binding.bind_cpu_input("seqlens_k", np.array([end - 1], np.int32))
        binding.bind_cpu_input("total_len", np.array(end, np.int32))
        binding.bind_cpu_input("logit_pos", np.zeros(0, np.int64))  # nobody wants its words
        for past, cache in caches.items():
            place = ("cpu", 0, np.float32, cache.shape, cache.ctypes.data)
            binding.bind_input(past, *place)
            binding.bind_output(past.replace("past_key_values", "present"), *place)
        session.run_with_iobinding(binding)
        yield end


def _scales(past: str, cache: Floats, name: str) -> Floats:
    reach = key_reach(cache) if past.endswith("key") else value_reach(cache)
    if not np.isfinite(reach).all():
        raise NotFiniteError(f"the model {name} computes numbers in `{past}` that are not finite")
    return scales_of(reach)


def _tell(name: str, done: int, total: int) -> None:
    narrate(
        "model_calibrate",
        "measuring keys and values",
        target=name,
        progress=Progress(done, total, "tokens"),
        model=name,
        cute="tasting the honey",
        story='"How far do they reach?", asks the hive of keys and values',
    )
