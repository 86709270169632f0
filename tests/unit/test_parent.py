"""What a hive started ends with the hive, also while it computes."""

import os
import subprocess
import sys
from pathlib import Path

from rbee_shared.lifecycle.parent import EXIT_CODE
from rbee_shared.narration.line import FORMAT_VARIABLE, JSON_FORMAT


def test_a_converter_ends_with_its_parent(tmp_path: Path) -> None:
    source = tmp_path / "m.gguf"
    os.mkfifo(source)  # whoever reads it waits for ever
    command = [sys.executable, "-m", "rbee_worker.convert", str(source), str(tmp_path / "out")]
    environment = {**os.environ, FORMAT_VARIABLE: JSON_FORMAT}
    with subprocess.Popen(command, stdin=subprocess.PIPE, env=environment) as process:
        assert process.stdin is not None
        process.stdin.close()
        try:
            assert process.wait(timeout=10) == EXIT_CODE
        finally:
            process.kill()
