"""Caches that numpy does not reach: runs in them give the same as in those that it does."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from rbee_worker.device import Device
from rbee_worker.layouts.buffers import CacheForm, Caches, HostCaches
from rbee_worker.layouts.device_buffers import DeviceCaches
from rbee_worker.layouts.graph_file import GraphFile
from rbee_worker.layouts.own_cache import OwnCache
from rbee_worker.layouts.signature import signature_of
from rbee_worker.provider import PROVIDERS, loaded
from tests.tiny_hub import TinyHub
from tests.tiny_llama import TinyLlama, vocabulary

CPU = Device("cpu", 0)
ROWS, MAX_LEN = 4, 32
MakeCaches = Callable[[CacheForm], Caches]


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return TinyHub(tmp_path_factory.mktemp("hub"), TinyLlama()).own


def on_device(form: CacheForm) -> Caches:
    return DeviceCaches(form, CPU, PROVIDERS["cpu"])


def played(own: Path, make: MakeCaches) -> NDArray[Any]:
    """Return what comes of rows that were computed, copied and swapped."""
    signature = signature_of(GraphFile.read(own, "model.onnx"))
    form = CacheForm(
        names=signature.caches,
        kind=signature.cache_kind,
        rows=ROWS,
        kv_heads=2,
        max_len=MAX_LEN,
        head_dim=16,
    )
    caches, session = make(form), loaded(own / "model.onnx", device=CPU, threads=1)
    vocab_size = len(vocabulary())

    def run(binding: Any) -> None:
        session.run_with_iobinding(binding)

    rows = OwnCache(
        session.io_binding, run, caches, rows=ROWS, max_len=MAX_LEN, vocab_size=vocab_size
    )
    for row in range(ROWS):
        rows.prefill(row, [row, 5, 6, 7], 0, 0)
    before = rows.decode(1, [9, 9], [4, 4]).copy()
    caches.copy(2, 0, 5)
    caches.swap(1, 3, 5)
    return np.concatenate([before, rows.decode(0, [8] * ROWS, [5, 4, 5, 5])])


def test_rows_are_bound_copied_and_swapped_as_in_memory(own: Path) -> None:
    expected, found = played(own, HostCaches), played(own, on_device)
    np.testing.assert_array_equal(found, expected)
    _, _, copy, other, source, swapped = expected
    np.testing.assert_array_equal(copy, source)
    assert not np.array_equal(other, swapped)
