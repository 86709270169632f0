"""Out of memory: a request that gets none fails with a clear error, and the worker goes on."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from tests.model.tiny import PLAIN, tiny, write_tiny

pytestmark = [
    pytest.mark.model,
    pytest.mark.timeout(120),
    pytest.mark.skipif(sys.platform != "linux", reason="no limit of memory that is kept"),
]

ROOT = Path(__file__).parents[2]
WIDE = tiny(replace(PLAIN, feed_forward=131_072, layers=1))  # 2 MiB of activations a token
OUT_OF_MEMORY = ("COMPUTE_FAILED", "OUT_OF_MEMORY")


def test_who_finds_no_memory_fails_alone_and_the_next_is_answered(tmp_path: Path) -> None:
    folder = write_tiny(tmp_path, WIDE)
    result = subprocess.run(
        [sys.executable, "-m", "tests.model.short_of_memory", str(folder)],
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=60,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    found = json.loads(result.stdout)
    assert len(found["before"]) == 8
    assert found["beside"] == found["after"] == found["before"]
    if len(found["long"]) != 8:  # an engine may have put by enough when it was loaded
        reason, hint, message = found["long"]
        assert reason in OUT_OF_MEMORY
        assert hint
        assert "alloc" in message or "memory" in message
