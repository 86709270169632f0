"""Reading the facts of NVIDIA's cards, driver and libraries; blocks for a second."""

import contextlib
import ctypes
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pynvml as untyped_pynvml

from rbee_worker.doctor.facts import Cuda, Library, Version

pynvml: Any = untyped_pynvml

NVIDIA_VENDOR, DISPLAY_CLASS = "0x10de", "0x03"  # on the PCI bus
BUS = Path("/sys/bus/pci/devices")
PROVIDER = "libonnxruntime_providers_cuda.so"
LINKER_TIMEOUT_S = 10.0
DRIVER_LIBRARY = "libcuda.so.1"
LAZY = {  # what ONNX Runtime for a CUDA of that number loads only when a graph asks for it
    13: ("libcudnn.so.9", "libcufft.so.12", "libnvrtc.so.13"),
}
OF_CUDA = re.compile(r"lib(cu|nv)\w+\.so\.\d+")
_LINKED = re.compile(r"^\s*(\S+) => (not found|\S+)", re.MULTILINE)


def read_cuda(packages: Path | None, number: Version | None) -> Cuda:
    """Return the cards, the driver, and where the libraries are.

    Args:
        packages: the folder that holds the package `onnxruntime`; None: it is not there.
        number: the CUDA that it was built for.
    """
    has_card = any(map(_is_card, BUS.glob("*")))
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        return Cuda(has_card=has_card)
    try:
        cards = tuple(_card(index) for index in range(pynvml.nvmlDeviceGetCount()))
        driver = str(pynvml.nvmlSystemGetDriverVersion())
        driver_cuda = _version(pynvml.nvmlSystemGetCudaDriverVersion_v2())
    except pynvml.NVMLError:
        return Cuda(has_card=has_card)
    finally:
        pynvml.nvmlShutdown()
    libraries = read_libraries(packages, number) if packages and cards else ()
    return Cuda(cards, has_card or bool(cards), driver, driver_cuda, libraries)


def read_libraries(packages: Path, number: Version | None) -> tuple[Library, ...]:
    """Return what the CUDA provider loads, and where it is, as ONNX Runtime looks for it.

    The folders of NVIDIA's packages come first, then those of the system's linker.
    """
    linked = linked_in(_linker_says(packages / "onnxruntime" / "capi" / PROVIDER))
    lazy = LAZY.get(number[0], ()) if number else ()
    return (
        *(
            Library(name, _of_package(packages, name) or place, needed=True)
            for name, place in linked
        ),
        *(
            Library(name, _of_package(packages, name) or _of_system(name), needed=False)
            for name in lazy
        ),
    )


def linked_in(text: str) -> list[tuple[str, str]]:
    """Return the libraries of CUDA that `ldd` names, and the folder of each that it found. Pure."""
    return [
        (name, "" if path == "not found" else str(Path(path).parent))
        for name, path in _LINKED.findall(text)
        if OF_CUDA.fullmatch(name) and name != DRIVER_LIBRARY
    ]


def _linker_says(provider: Path) -> str:
    ldd = shutil.which("ldd")
    if ldd is None or not provider.is_file():
        return ""
    with contextlib.suppress(subprocess.TimeoutExpired):
        return subprocess.run(
            [ldd, str(provider)],
            capture_output=True,
            text=True,
            timeout=LINKER_TIMEOUT_S,
            check=False,
        ).stdout
    return ""


def _of_package(packages: Path, name: str) -> str:
    found = next(packages.glob(f"nvidia/*/lib/{name}"), None)
    return str(found.parent.relative_to(packages)) if found else ""


def _of_system(name: str) -> str:
    try:
        ctypes.CDLL(name)
    except OSError:
        return ""
    return "the system"


def _is_card(device: Path) -> bool:
    try:
        vendor = (device / "vendor").read_text().strip()
        return vendor == NVIDIA_VENDOR and (device / "class").read_text().startswith(DISPLAY_CLASS)
    except OSError:
        return False


def _card(index: int) -> str:
    try:
        return str(pynvml.nvmlDeviceGetName(pynvml.nvmlDeviceGetHandleByIndex(index)))
    except pynvml.NVMLError as error:
        return f"number {index}, which does not answer ({error})"


def _version(number: int) -> Version:
    return number // 1000, number % 1000 // 10
