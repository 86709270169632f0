"""What this machine can compute on. What is not there is not listed."""

import contextlib
import logging
import platform
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pynvml as untyped_pynvml

from rbee_shared.errors import DeviceNotFoundError
from rbee_shared.machine import usable_cores, usable_memory

pynvml: Any = untyped_pynvml

CPU = "cpu"
CUDA = "cuda"


@dataclass(frozen=True, slots=True)
class Device:
    """One device. `cores` is what workers may use, for the processor; else 0."""

    id: str
    kind: str
    name: str
    memory_bytes: int
    free_memory_bytes: int
    cores: int = 0
    compute_capability: str = ""


def detect(cores_max: int = 0) -> tuple[Device, ...]:
    """Return the processor and the NVIDIA cards; takes some milliseconds, blocks.

    Args:
        cores_max: cores that workers may use in all; 0 for all of the machine.
    """
    return (_processor(cores_max), *_cards())


def device_named(devices: tuple[Device, ...], asked: str, hive: str) -> Device:
    """Return the device that the user asked for.

    Raises:
        DeviceNotFoundError: it is not there; there is no falling back.
    """
    wanted = device_id(asked)
    for device in devices:
        if device.id == wanted:
            return device
    raise DeviceNotFoundError(asked, hive)


def device_id(asked: str) -> str:
    """Return the id that the user means: `cpu`, or nothing, is `cpu:0`, `cuda` is `cuda:0`."""
    return asked if ":" in asked else f"{asked or CPU}:0"


def _processor(cores_max: int) -> Device:
    memory = usable_memory()
    cores = usable_cores()
    return Device(
        id=f"{CPU}:0",
        kind=CPU,
        name=_processor_name(),
        memory_bytes=memory.total_bytes,
        free_memory_bytes=memory.free_bytes,
        cores=min(cores, cores_max) if cores_max > 0 else cores,
    )


def _processor_name() -> str:
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _cards() -> tuple[Device, ...]:
    try:
        with _nvml():
            found = [_card(index) for index in range(pynvml.nvmlDeviceGetCount())]
    except pynvml.NVMLError as error:
        logging.debug("no NVIDIA cards: %s", error)
        return ()
    return tuple(card for card in found if card is not None)


@contextlib.contextmanager
def _nvml() -> Generator[None]:
    pynvml.nvmlInit()
    try:
        yield
    finally:
        pynvml.nvmlShutdown()


def _card(index: int) -> Device | None:
    try:
        handle = pynvml.nvmlDeviceGetHandleByIndex(index)
        memory = pynvml.nvmlDeviceGetMemoryInfo(handle)
        major, minor = pynvml.nvmlDeviceGetCudaComputeCapability(handle)
        name = str(pynvml.nvmlDeviceGetName(handle))
    except pynvml.NVMLError as error:  # one that fell off its bus does not hide the others
        logging.warning("cannot use NVIDIA card %d: %s", index, error)
        return None
    return Device(
        id=f"{CUDA}:{index}",
        kind=CUDA,
        name=name,
        memory_bytes=int(memory.total),
        free_memory_bytes=int(memory.free),
        compute_capability=f"{major}.{minor}",
    )
