"""What is well, what could be better and what is missing, decided from facts. Pure."""

from collections.abc import Iterator

from rbee_shared.doctor import HINT_INSTALL, MachineCheck
from rbee_worker.doctor.facts import Cuda, Facts, Library, Machine, Runtime

GIB = 1024**3
PYTHON_MIN = (3, 11)
FREE_MEMORY_BYTES_MIN = 2 * GIB  # the smallest models want one
FREE_DISK_BYTES_MIN = 5 * GIB
FAST_INT8 = {  # what makes int8 fast, the best first; without the last it is slow
    "x86_64": ("amx_int8", "avx512_vnni", "avx_vnni", "avx512f", "avx2"),
    "aarch64": ("i8mm", "asimddp"),
}
ARCHITECTURES = {"AMD64": "x86_64", "arm64": "aarch64"}  # two names for the same
DRIVER_MIN = {13: "580"}  # the first driver that can run a CUDA of that number
NOT_NEEDED = "no NVIDIA card: not needed"
HINT_LIBRARIES = '`pip install "onnxruntime-gpu[cuda,cudnn]"` with the Python that runs rbee'


def examine(facts: Facts) -> tuple[MachineCheck, ...]:
    """Return what was looked at, in an order that a person mends it in."""
    return (
        *_machine(facts.machine),
        *_runtime(facts.runtime, facts.cuda),
        *_cuda(facts.runtime, facts.cuda),
    )


def judge(device: str, error: str) -> MachineCheck:
    """Return what a sum on a device says; `error` is why it failed, if it did."""
    hint = "what is missing above is the likely cause; else restart the machine" if error else ""
    return _check(f"computing on {device}", error or "a sum came out right", wrong=hint)


def _machine(machine: Machine) -> Iterator[MachineCheck]:
    major, minor = machine.python
    yield _check(
        "python",
        f"{major}.{minor}",
        wrong="" if machine.python >= PYTHON_MIN else "install Python 3.11 or newer",
    )
    yield _processor(machine)
    yield _check(
        "memory",
        f"{_gib(machine.free_memory_bytes)} of {_gib(machine.memory_bytes)} free",
        better="little is free: a model that fits may be slow, or not fit at all"
        if machine.free_memory_bytes < FREE_MEMORY_BYTES_MIN
        else "",
    )
    yield _check(
        "disk",
        f"{_gib(machine.free_disk_bytes)} free for models in {machine.models_folder}",
        better="`rbee model prune` frees some; `RBEE_MODELS=DIR` takes another disk"
        if machine.free_disk_bytes < FREE_DISK_BYTES_MIN
        else "",
    )


def _processor(machine: Machine) -> MachineCheck:
    seen = f"{machine.processor}, {machine.cores} cores"
    kind = ARCHITECTURES.get(machine.architecture, machine.architecture)
    known = FAST_INT8.get(kind, ())
    if not machine.features or not known:
        return _check("processor", seen)
    found = [each for each in known if each in machine.features]
    if not found:
        return _check(
            "processor",
            f"{seen}, without {known[-1]}",
            better="it computes int8 slowly; another machine, or a card, is faster",
        )
    return _check("processor", f"{seen}, {' '.join(found)}")


def _runtime(runtime: Runtime, cuda: Cuda) -> Iterator[MachineCheck]:
    if runtime.error:
        yield _check("onnxruntime", runtime.error, wrong=HINT_INSTALL)
        return
    built = "for the processor alone"
    if runtime.has_cuda:
        number = runtime.cuda
        built = f"with CUDA {number[0]}.{number[1]}" if number else "with CUDA"
    seen = f"{runtime.version} built {built}"
    if len(runtime.packages) > 1:
        yield _check(
            "onnxruntime",
            f"{seen}; {' and '.join(runtime.packages)} overwrite each other",
            wrong=f"`pip uninstall {' '.join(runtime.packages)}`, then {HINT_INSTALL}",
        )
    elif cuda.cards and not runtime.has_cuda:
        yield _check(
            "onnxruntime",
            seen,
            wrong="`pip uninstall onnxruntime`, then"
            ' `pip install "onnxruntime-gpu[cuda,cudnn]"`: else the card cannot be used',
        )
    else:
        yield _check("onnxruntime", seen)


def _cuda(runtime: Runtime, cuda: Cuda) -> Iterator[MachineCheck]:
    if not cuda.cards:
        yield _no_card(cuda)
        for name in ("NVIDIA driver", "CUDA libraries", "cuDNN"):
            yield _check(name, NOT_NEEDED)
        return
    yield _check("NVIDIA card", ", ".join(cuda.cards))
    yield _driver(runtime, cuda)
    if runtime.has_cuda:
        libraries = [each for each in cuda.libraries if not _is_cudnn(each)]
        yield _libraries("CUDA libraries", libraries)
        yield _libraries("cuDNN", [each for each in cuda.libraries if _is_cudnn(each)])


def _no_card(cuda: Cuda) -> MachineCheck:
    if cuda.has_card:
        return _check(
            "NVIDIA card",
            "there is one, and no driver for it that answers",
            better="install NVIDIA's driver (`nvidia-smi` shows whether it works); in a"
            " container, start it with access to the card",
        )
    return _check("NVIDIA card", "none")


def _driver(runtime: Runtime, cuda: Cuda) -> MachineCheck:
    found, wanted = cuda.driver_cuda, runtime.cuda
    seen = cuda.driver or "unknown"
    if found is not None:
        seen += f", runs CUDA up to {found[0]}.{found[1]}"
    if found is None or wanted is None or found[0] >= wanted[0]:
        return _check("NVIDIA driver", seen)
    newer = DRIVER_MIN.get(wanted[0], "a newer one")
    return _check(
        "NVIDIA driver",
        f"{seen}; onnxruntime wants CUDA {wanted[0]}",
        wrong=f"install NVIDIA driver {newer} or newer",
    )


def _libraries(name: str, libraries: list[Library]) -> MachineCheck:
    if not libraries:
        return _check(name, "cannot be looked for here")
    places = sorted({each.place for each in libraries if each.place})
    missing = [each for each in libraries if not each.place]
    found = f"{len(libraries) - len(missing)} of {len(libraries)} found"
    seen = f"{found} in {', '.join(places)}" if places else found
    if not missing:
        return _check(name, seen)
    seen += f"; missing: {', '.join(each.name for each in missing)}"
    if any(each.needed for each in missing):
        return _check(name, seen, wrong=HINT_LIBRARIES)
    return _check(name, seen, better=f"{HINT_LIBRARIES}; some graphs want it")


def _is_cudnn(library: Library) -> bool:
    return library.name.startswith("libcudnn")


def _check(name: str, seen: str, *, wrong: str = "", better: str = "") -> MachineCheck:
    return MachineCheck(name, passed=not wrong, detail=seen, hint=wrong or better)


def _gib(size_bytes: int) -> str:
    return f"{size_bytes / GIB:.1f} GiB"
