"""`python -m tests.scarce_session FOLDER`: a run without memory, then others on the same session.

A process of its own, because one that has run a while has memory left over that no limit takes.
"""

import resource
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import psutil

from rbee_worker.compute_error import OutOfMemoryError
from rbee_worker.description import ModelDescription
from rbee_worker.device import Device
from rbee_worker.session import Session

SPARE_BYTES = 8 * 2**20
TOKENS = 120


@contextmanager
def short_of_memory() -> Generator[None]:
    """Let the process take hardly more memory than it has."""
    before = resource.getrlimit(resource.RLIMIT_AS)
    most = psutil.Process().memory_info().vms + SPARE_BYTES
    resource.setrlimit(resource.RLIMIT_AS, (most, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)


def main(folder: Path) -> None:
    """Insist that the run fails with the error that says why, and that nothing else suffers."""
    session = Session(
        folder,
        ModelDescription.read(folder),
        device=Device("cpu", 0),
        threads=1,
        max_len=128,
        slots=2,
    )
    expected = session.prefill(1, [5, 6, 7], 0).copy()
    error: OutOfMemoryError | None = None
    with short_of_memory():
        try:
            session.prefill(0, [5] * TOKENS, 0)
        except OutOfMemoryError as raised:
            error = raised
        np.testing.assert_array_equal(session.prefill(1, [5, 6, 7], 0), expected)
    assert error is not None, "there was memory enough"
    assert error.reason == "OUT_OF_MEMORY"
    assert "shorter prompt" in error.hint
    session.prefill(0, [5] * TOKENS, 0)
    np.testing.assert_array_equal(session.prefill(1, [5, 6, 7], 0), expected)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
