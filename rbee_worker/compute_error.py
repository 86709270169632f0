"""What it means when ONNX Runtime or numpy could not compute, as errors for people."""

from rbee_shared.errors import RbeeError, ResourceExhaustedError

GIB = 1024**3
# how ONNX Runtime's allocators, the C++ library and CUDA say that there was no memory
OUT_OF_MEMORY_MARKS = (
    "failed to allocate",
    "bad_alloc",
    "bad allocation",
    "out of memory",
    "alloc_failed",
)


class ComputeError(RbeeError):
    """A run of the model failed; the request fails, the worker lives."""

    reason = "COMPUTE_FAILED"
    hint = "a shorter prompt or context needs less memory"


class OutOfMemoryError(ResourceExhaustedError):
    """There is not so much memory; what was asked for fails, the worker lives."""

    reason = "OUT_OF_MEMORY"
    hint = "a shorter prompt or context, fewer slots, or a smaller model need less memory"


def compute_error(error: Exception) -> RbeeError:
    """Return what an error of a run or of taking memory means."""
    if is_out_of_memory(error):
        return OutOfMemoryError(f"there was no memory to run the model: {first_line(error)}")
    return ComputeError(f"the model could not be run: {first_line(error)}")


def is_out_of_memory(error: Exception) -> bool:
    """Return whether an error says that memory could not be had."""
    said = str(error).lower()
    return isinstance(error, MemoryError) or any(mark in said for mark in OUT_OF_MEMORY_MARKS)


def first_line(error: Exception) -> str:
    """Return what an error says first: ONNX Runtime's go on for pages."""
    return next(iter(str(error).splitlines()), type(error).__name__)
