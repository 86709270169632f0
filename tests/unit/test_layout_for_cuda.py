"""The graph for a card, as far as a CPU can say: it is a right one and says nearly the same."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import onnx as untyped_onnx
import pytest

from rbee_worker.description import ModelDescription
from rbee_worker.device import Device
from rbee_worker.layouts.for_cuda import for_cuda
from rbee_worker.provider import PROVIDERS, loaded
from rbee_worker.session import Session
from tests.own_forms import with_int8_cache
from tests.tiny_hub import TinyHub
from tests.tiny_llama import TinyLlama, vocabulary

onnx: Any = untyped_onnx

CPU = Device("cpu", 0)


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return TinyHub(tmp_path_factory.mktemp("hub"), TinyLlama()).own


def read(folder: Path) -> Any:
    return onnx.load_model(folder / "model.onnx", load_external_data=False)


def logits_of(folder: Path) -> Any:
    description = ModelDescription.read(folder)
    session = Session(folder, description, device=CPU, threads=1, max_len=64, slots=2)
    random = np.random.default_rng(1)
    tokens = [int(n) for n in random.integers(0, len(vocabulary()), 50)]
    session.prefill(1, tokens[:40], 0, logit_count=0)
    return session.prefill(1, tokens[40:], 40, logit_count=10).copy()


def changed(folder: Path) -> Any:
    """Return the logits of a folder's graph once it is changed for a card."""
    model = read(folder)
    before = model.SerializeToString(deterministic=True)
    (folder / "model.onnx").write_bytes(for_cuda(model).SerializeToString())
    assert model.SerializeToString(deterministic=True) == before
    return logits_of(folder)


def test_a_graph_for_cuda_says_nearly_the_same(own: Path, tmp_path: Path) -> None:
    folder = tmp_path / "own"
    shutil.copytree(own, folder)
    expected = logits_of(folder)
    assert 0 < np.abs(changed(folder) - expected).mean() < 0.05


def test_what_8_bits_need_is_gone(own: Path, tmp_path: Path) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    for folder in (one, other):
        shutil.copytree(own, folder)
    with_int8_cache(other, heads=2, size=16)
    np.testing.assert_array_equal(changed(other), changed(one))
    assert "scale" not in str(read(other).graph.initializer)


def test_all_attention_is_in_float16_and_nothing_else(own: Path) -> None:
    made = for_cuda(read(own))
    kinds = {
        each.name: each.type.tensor_type.elem_type
        for each in (*made.graph.input, *made.graph.output)
    }
    half, whole = onnx.TensorProto.FLOAT16, onnx.TensorProto.FLOAT
    assert {kind for name, kind in kinds.items() if "key" in name or "value" in name} == {half}
    assert kinds["logits"] == whole
    cast = {each.output[0]: each for each in made.graph.node if each.op_type == "Cast"}
    for node in made.graph.node:
        if node.op_type != "GroupQueryAttention":
            continue
        states = [name for name in (*node.input[:3], *node.input[7:9]) if name]
        assert all(cast[name].attribute[0].i == half for name in states)
        assert any(each.input[0] == node.output[0] for each in cast.values())
        assert len(node.input) == 9


def test_a_graph_in_memory_finds_its_data_beside_the_file(own: Path) -> None:
    made = for_cuda(read(own)).SerializeToString()
    session = loaded(own / "model.onnx", device=CPU, threads=1, graph=made)
    assert session.get_providers() == [PROVIDERS["cpu"]]
