"""Converting a GGUF file to ONNX, in a child process that needs far more memory than a hive."""

from collections.abc import Awaitable, Callable
from pathlib import Path

from rbee_hive.models.disk import NO_SPACE, no_room_left
from rbee_shared.errors import FailedPreconditionError, RbeeError, known
from rbee_shared.lifecycle.child import running_child
from rbee_shared.lifecycle.launch import StartFailedError

CONVERTER = "int8-block32/1"  # another value: what is stored was made in another way
MODULE = "rbee_worker.convert"

Convert = Callable[[Path, Path], Awaitable[None]]


async def convert(gguf: Path, out: Path) -> None:
    """Write the model of `gguf` into the new folder `out`, telling what the converter tells.

    Raises:
        RbeeError: what the converter said; the disk is full; this Python has no converter.
    """
    failure: RbeeError | None = None
    try:
        async with running_child(MODULE, [str(gguf), str(out)], name="convert") as child:
            await child.done()
    except ExceptionGroup as group:
        failure = known(group)
        if failure is None:
            raise
    if isinstance(failure, StartFailedError):
        raise explain(failure, out.parent) from failure
    if failure is not None:
        raise failure


def explain(failure: StartFailedError, folder: Path) -> RbeeError:
    """Return what the end of a converter that said no error of its own means."""
    text = str(failure)
    if NO_SPACE in text:
        return no_room_left(folder)
    if "ModuleNotFoundError" in text or "No module named" in text:
        return FailedPreconditionError(
            "this Python has no converter for GGUF files",
            reason="CONVERTER_MISSING",
            hint="`pip install 'rbee[worker]'` on the hive's machine",
        )
    return RbeeError(
        f"the model was not converted: {text}",
        reason="CONVERSION_FAILED",
        hint="`--verbose` shows what the converter says",
    )
