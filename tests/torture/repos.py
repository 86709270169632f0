"""The models that the hub of the torture has: ready ones of random bytes, and one to convert."""

import json
import os
from functools import cache
from pathlib import Path
from typing import Any

from tests.hub.hub import Hub
from tests.rpc.hive_house import DESCRIPTION
from tests.tiny_llama import TinyLlama

READY, GGUF = "org/ready", "org/tiny-GGUF"
WEIGHTS = "model.onnx.data"
GGUF_FILE = "tiny-F32.gguf"
GRAPH = b"graph" * 200


def ready(size_bytes: int, *, seed: bytes = b"", **more: bytes) -> dict[str, bytes]:
    """Return the files of a model that rbee converted, of so many random bytes; `seed` ends them.

    Args:
        size_bytes: of the weights.
        seed: their last bytes.
        more: other files, by what follows `model.onnx.data` in their names.
    """
    return {
        "rbee.json": json.dumps(DESCRIPTION).encode(),
        "tokenizer.json": b"{}",
        "model.onnx": GRAPH,
        WEIGHTS: noise(size_bytes - len(seed)) + seed,
        **{f"{WEIGHTS}{name}": data for name, data in more.items()},
    }


@cache
def noise(size_bytes: int) -> bytes:
    """Return bytes that are the same for the whole session."""
    return os.urandom(size_bytes)


def tiny_gguf(folder: Path) -> dict[str, bytes]:
    """Return the files of a model that is to be converted."""
    return {GGUF_FILE: TinyLlama().write(folder / "written.gguf").read_bytes()}


def settings(hub: Hub, repo: str, **values: Any) -> None:
    """Say who may read a repository, and what it says of itself."""
    folder = hub.repos.root / repo
    folder.mkdir(parents=True, exist_ok=True)
    (folder / ".hub.json").write_text(json.dumps(values))


def size_of(files: dict[str, bytes]) -> int:
    """Return the bytes of all files."""
    return sum(map(len, files.values()))


def sent(hub: Hub, repo: str) -> int:
    """Return the bytes of a repository's files that the hub has sent so far."""
    return sum(size for name, size in hub.sent.items() if name.startswith(f"{repo}/"))
