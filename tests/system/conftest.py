"""The real model, as the tests of models have it, and a worker of it with few slots."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import Home, environment_of
from tests.model.conftest import gguf, kept, onnx_model

__all__ = ["gguf", "kept", "onnx_model"]

SLOTS = 4
CONTEXT_TOKENS = 512


@pytest.fixture(scope="module")
def slots(models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    """A home with a queen and a worker that answers a few requests at once."""
    folder = tmp_path_factory.mktemp("slots")
    home = Home(folder, environment_of(folder, RBEE_MODELS=str(models)))
    spawned = home.rbee(
        "worker", "spawn", "smollm2", "--slots", str(SLOTS), "--context", str(CONTEXT_TOKENS)
    )
    assert spawned.returncode == 0, spawned.stderr
    yield home
    stopped = home.rbee("queen", "stop")
    assert stopped.returncode == 0, stopped.stderr
    assert home.processes() == []
