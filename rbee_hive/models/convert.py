"""The child processes that make a model: they need far more memory, and libraries, than a hive."""

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from rbee_hive.files.disk import NO_SPACE, no_room_left
from rbee_shared.errors import FailedPreconditionError, RbeeError, known
from rbee_shared.lifecycle.child import running_child
from rbee_shared.lifecycle.launch import StartFailedError

CONVERTER_VERSION = 3  # another one: what is stored was made in another way
DEFAULT_WEIGHTS = "int8"
CONVERTER, DESCRIBER = "rbee_worker.convert", "rbee_worker.describe"


class Convert(Protocol):
    """Writes the model of a GGUF file into a new folder; see `convert`."""

    async def __call__(self, gguf: Path, out: Path, *, weights: str) -> None:
        """Write it."""
        ...


class Describe(Protocol):
    """Writes the description of an ONNX model into its folder; see `describe`."""

    async def __call__(self, folder: Path, *, graph: str, name: str, licence: str) -> None:
        """Write it."""
        ...


def converter_of(weights: str) -> str:
    """Return what made a model's files, as metadata has it. Pure."""
    return f"{weights or DEFAULT_WEIGHTS}/{CONVERTER_VERSION}"


async def convert(gguf: Path, out: Path, *, weights: str) -> None:
    """Write the model of `gguf` into the new folder `out`, telling what the converter tells.

    Raises:
        RbeeError: what the converter said; the disk is full; this Python has no converter.
    """
    arguments = [str(gguf), str(out), "--weights", weights or DEFAULT_WEIGHTS]
    await _run(CONVERTER, arguments, out.parent)


async def describe(folder: Path, *, graph: str, name: str, licence: str) -> None:
    """Write the description of the ONNX model in `folder`; `graph` empty: its files say which.

    Raises:
        RbeeError: why a worker could not load it; this Python cannot read graphs.
    """
    said = {"--graph": graph, "--name": name, "--licence": licence}
    options = [f"{option}={text}" for option, text in said.items() if text]
    await _run(DESCRIBER, [str(folder), *options], folder)


async def _run(module: str, arguments: Sequence[str], folder: Path) -> None:
    failure: RbeeError | None = None
    try:
        async with running_child(module, arguments, name=module.rpartition(".")[2]) as child:
            await child.done()
    except ExceptionGroup as group:
        failure = known(group)
        if failure is None:
            raise
    if isinstance(failure, StartFailedError):
        raise explain(failure, folder) from failure
    if failure is not None:
        raise failure


def explain(failure: StartFailedError, folder: Path) -> RbeeError:
    """Return what the end of a child that said no error of its own means."""
    text = str(failure)
    if NO_SPACE in text:
        return no_room_left(folder)
    if "ModuleNotFoundError" in text or "No module named" in text:
        return FailedPreconditionError(
            "this Python has no converter for models",
            reason="CONVERTER_MISSING",
            hint="`pip install 'rbee[worker]'` on the hive's machine",
        )
    return RbeeError(
        f"the model was not converted: {text}",
        reason="CONVERSION_FAILED",
        hint="`--verbose` shows what the converter says",
    )
