"""Reading the facts of ONNX Runtime, and trying it; blocks for a second or two.

It is imported by name, since that it cannot be imported is one of the facts.
"""

import importlib
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from rbee_worker.doctor.facts import Runtime, Version

PACKAGES = ("onnxruntime", "onnxruntime-gpu")
PROVIDERS = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}
SEVERITY_FATAL = 4
TWO = 2.0
OPSET, IR = 17, 8  # old enough for any ONNX Runtime that rbee takes
LENGTH_MAX = 200  # of an error that is told


def read_runtime() -> Runtime:
    """Return what ONNX Runtime is installed."""
    packages = tuple(each for each in PACKAGES if _is_installed(each))
    try:
        ort = _onnxruntime()
        return Runtime(
            version=str(ort.__version__),
            cuda=_version(str(getattr(ort, "cuda_version", ""))),
            has_cuda=PROVIDERS["cuda"] in ort.get_available_providers(),
            packages=packages,
        )
    except Exception as error:  # what a broken library raises has no base of its own
        return Runtime(packages=packages, error=_said(error))


def packages_folder() -> Path | None:
    """Return the folder that holds the package `onnxruntime`, once it is imported."""
    module = sys.modules.get("onnxruntime")
    return Path(module.__file__).parents[1] if module is not None and module.__file__ else None


def tried(device: str) -> str:
    """Add two numbers on a device; return why it failed, if it did."""
    kind, _, index = device.partition(":")
    try:
        ort = _onnxruntime()
        settings: dict[str, str] = {}
        if kind == "cuda":
            ort.preload_dlls()
            settings["device_id"] = index
        provider = PROVIDERS[kind]
        session = ort.InferenceSession(_sum(), providers=[(provider, settings)])
        in_use = session.get_providers()[0]
        if in_use != provider:
            return f"ONNX Runtime would use {in_use}"
        numpy: Any = importlib.import_module("numpy")
        [result] = session.run(None, {"a": numpy.ones(1, numpy.float32)})
        return "" if result[0] == TWO else f"1 + 1 was {result[0]}"
    except Exception as error:  # onnxruntime's errors have no base of their own
        return _said(error)


def _sum() -> bytes:
    onnx: Any = importlib.import_module("onnx")
    helper, number = onnx.helper, onnx.TensorProto.FLOAT
    graph = helper.make_graph(
        [helper.make_node("Add", ["a", "a"], ["b"])],
        "sum",
        [helper.make_tensor_value_info("a", number, [1])],
        [helper.make_tensor_value_info("b", number, [1])],
    )
    opsets = [helper.make_opsetid("", OPSET)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=IR).SerializeToString()


def _onnxruntime() -> Any:
    ort: Any = importlib.import_module("onnxruntime")
    ort.set_default_logger_severity(SEVERITY_FATAL)  # what it would print, the checks say better
    return ort


def _is_installed(package: str) -> bool:
    try:
        return bool(version(package))
    except PackageNotFoundError:
        return False


def _version(text: str) -> Version | None:
    try:
        major, minor = map(int, text.split(".")[:2])
    except ValueError:
        return None
    return major, minor


def _said(error: Exception) -> str:
    line = next(iter(str(error).splitlines()), type(error).__name__)
    return line[:LENGTH_MAX]
