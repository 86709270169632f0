"""What can be seen of a machine, as plain values: what `checks.py` decides by."""

from dataclasses import dataclass

Version = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Machine:
    """The machine itself. `features` are the processor's, as its kernel names them; sizes in bytes.

    `features` is empty where they cannot be read.
    """

    python: Version
    processor: str
    architecture: str
    cores: int
    features: frozenset[str]
    memory_bytes: int
    free_memory_bytes: int
    models_folder: str
    free_disk_bytes: int


@dataclass(frozen=True, slots=True)
class Runtime:
    """ONNX Runtime. `error`: why it cannot be imported; `cuda` is what it was built for, if any.

    `packages` are those installed that bring it, which overwrite each other.
    """

    version: str = ""
    cuda: Version | None = None
    has_cuda: bool = False
    packages: tuple[str, ...] = ()
    error: str = ""


@dataclass(frozen=True, slots=True)
class Library:
    """A library that the CUDA provider loads. `place` is where it was found; empty: nowhere.

    `needed` ones are named by the provider; the others are loaded when a graph asks for them.
    """

    name: str
    place: str
    needed: bool


@dataclass(frozen=True, slots=True)
class Cuda:
    """The NVIDIA side. `cards` by name, as the driver knows them; `has_card`: the bus has one.

    `driver_cuda` is the newest CUDA that the driver can run.
    """

    cards: tuple[str, ...] = ()
    has_card: bool = False
    driver: str = ""
    driver_cuda: Version | None = None
    libraries: tuple[Library, ...] = ()


@dataclass(frozen=True, slots=True)
class Facts:
    """All of it."""

    machine: Machine
    runtime: Runtime
    cuda: Cuda
