"""A process that fetches is killed again and again: progress never falls, the bytes are right."""

import hashlib
import os
import random
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest

from rbee_hive.transfer.parts import done_bytes
from tests import fetch_child
from tests.hub.faults import Kind
from tests.hub.serve import serving_hub
from tests.transfers import PIECE_BYTES, REPO, names_in, remote, sha256_of

DATA = os.urandom(24 * PIECE_BYTES)
KILLS = 6
ROOT = Path(__file__).parents[2]


def said(arguments: list[str], kill_after: int) -> list[str]:
    """Run a child, kill it after so many lines, and return all that it said."""
    command = [sys.executable, str(fetch_child.__file__), *arguments]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "shared")])}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as child:
        assert child.stdout is not None
        lines: list[str] = []
        while len(lines) < kill_after and (line := child.stdout.readline()):
            lines.append(line)
        child.kill()
        lines += child.stdout.readlines()
    return [each.strip() for each in lines if each.endswith("\n")]


@pytest.mark.parametrize("seed", range(3))
def test_what_was_announced_holds_over_kills(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    parts = tmp_path / "parts"
    with serving_hub(tmp_path / "hub") as hub:
        hub.put(REPO, {"m.gguf": DATA})
        hub.faults.add(Kind.SLOW, bytes_per_s=4_000_000)
        file = remote(hub, "m.gguf")
        arguments = [str(parts), file.url, str(file.size_bytes), file.sha256]
        announced: list[int] = []
        for _ in range(KILLS):
            lines = said(arguments, chance.choice([1, 2, 3, 8, 20, 30]))
            announced += [int(each) for each in lines]
            assert done_bytes(parts, file) >= announced[-1]
        hub.faults.clear()
        *lines, path = said(arguments, len(DATA))
        announced += [int(each) for each in lines]
    assert all(before <= after for before, after in pairwise(announced))
    assert announced[-1] == len(DATA)
    assert sha256_of(Path(path)) == hashlib.sha256(DATA).hexdigest()
    assert names_in(parts) == {file.sha256, f"{file.sha256}.state"}
