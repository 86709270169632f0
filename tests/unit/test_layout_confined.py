"""A graph reaches nothing but its folder: what points out is refused before it is opened."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx as untyped_onnx
import pytest

from rbee_shared.errors import UnimplementedError
from rbee_worker.description import ModelDamagedError
from rbee_worker.layouts import graph_file
from rbee_worker.layouts.confined import check_confined
from rbee_worker.layouts.folder import OutsideFolderError
from rbee_worker.layouts.graph_file import GraphFile, GraphTooLargeError

onnx: Any = untyped_onnx
make: Any = onnx.helper

FLOAT = onnx.TensorProto.FLOAT
GRAPH, DATA = "onnx/model.onnx", "model.onnx_data"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A model's folder with a data file of 4 kB, and a secret beside it."""
    (tmp_path / "secret").write_bytes(b"s" * 4096)
    (tmp_path / "model" / "onnx").mkdir(parents=True)
    (tmp_path / "model" / "onnx" / DATA).write_bytes(b"\0" * 4096)
    return tmp_path / "model"


def external(location: str = DATA, **said: Any) -> Any:
    """Return a tensor of 1024 numbers whose data lies elsewhere."""
    tensor = onnx.TensorProto(name="weights", data_type=FLOAT, dims=[1024])
    tensor.data_location = onnx.TensorProto.EXTERNAL
    for key, value in {"location": location, **said}.items():
        tensor.external_data.add(key=key, value=str(value))
    return tensor


def initializer(tensor: Any) -> Any:
    node = make.make_node("Add", ["x", tensor.name], ["y"])
    return make.make_model(make.make_graph([node], "g", [], [], [tensor]))


def attribute(tensor: Any) -> Any:
    node = make.make_node("Constant", [], ["y"], value=tensor)
    return make.make_model(make.make_graph([node], "g", [], []))


def branch(tensor: Any) -> Any:
    inner = make.make_graph([make.make_node("Identity", ["weights"], ["z"])], "b", [], [], [tensor])
    node = make.make_node("If", ["x"], ["y"], then_branch=inner, else_branch=inner)
    return make.make_model(make.make_graph([node], "g", [], []))


def function(tensor: Any) -> Any:
    inner = make.make_node("Constant", [], ["y"], value=tensor)
    opsets = [make.make_opsetid("", 21)]
    own = make.make_function("own", "Weights", [], ["y"], [inner], opsets)
    node = make.make_node("Weights", [], ["y"], domain="own")
    return make.make_model(make.make_graph([node], "g", [], []), functions=[own])


def sparse(tensor: Any) -> Any:
    indices = onnx.numpy_helper.from_array(np.arange(1024), "i")
    found = make.make_sparse_tensor(tensor, indices, [4096])
    node = make.make_node("Add", ["x", "weights"], ["y"])
    return make.make_model(make.make_graph([node], "g", [], [], sparse_initializer=[found]))


def check(folder: Path, model: Any) -> None:
    (folder / GRAPH).write_bytes(model.SerializeToString())
    check_confined(folder, GraphFile.read(folder, GRAPH))


PLACES = [initializer, attribute, branch, function, sparse]


@pytest.mark.parametrize("placed", PLACES)
def test_data_in_the_folder_is_fine(placed: Callable[[Any], Any], folder: Path) -> None:
    check(folder, placed(external()))
    check(folder, placed(external(f"./{DATA}", offset=0, length=4096)))


@pytest.mark.parametrize("placed", PLACES)
@pytest.mark.parametrize(
    "location",
    [
        "/etc/passwd",
        "../../secret",
        f"../onnx/{DATA}",
        "..",
        "a/../../../secret",
        "..\\..\\secret",
        "\\\\host\\share",
        "C:secret",
        "C:/secret",
        f"{DATA}\0",
        "line\nbreak",
        "*/_ORT_MEM_ADDR_/*",
    ],
)
def test_data_elsewhere_is_refused(
    placed: Callable[[Any], Any], location: str, folder: Path
) -> None:
    with pytest.raises(OutsideFolderError) as caught:
        check(folder, placed(external(location)))
    assert caught.value.reason == "EXTERNAL_DATA_OUTSIDE"
    assert "source that you trust" in caught.value.hint


@pytest.mark.skipif(os.name == "nt", reason="links need rights there")
def test_a_link_may_not_lead_out(folder: Path) -> None:
    (folder / "onnx" / "linked").symlink_to("../../secret")
    with pytest.raises(OutsideFolderError, match="`linked`"):
        check(folder, initializer(external("linked")))
    (folder / "out").symlink_to("..")
    with pytest.raises(OutsideFolderError):
        GraphFile.read(folder, "out/secret")
    (folder / "onnx" / "within").symlink_to(DATA)
    check(folder, initializer(external("within")))
    (folder / "onnx" / "loop").symlink_to("loop")
    with pytest.raises(ModelDamagedError):
        check(folder, initializer(external("loop")))


@pytest.mark.parametrize(
    ("tensor", "message"),
    [
        (external("gone"), "has no `gone`"),
        (external("."), "has no `.`"),
        (external(""), "has no ``"),
        (external("x" * 5_000), "xxx"),
        (external(offset=1), "ends before `weights` does"),
        (external(length=5_000), "ends before `weights` does"),
        (external(offset=-1), "negative"),
        (external(offset="much"), "does not say where it is"),
    ],
)
def test_data_that_is_not_there_is_damage(tensor: Any, message: str, folder: Path) -> None:
    with pytest.raises(ModelDamagedError, match=message):
        check(folder, initializer(tensor))


@pytest.mark.parametrize("kind", [0, 8, 77])
def test_data_of_a_kind_that_has_no_size_is_damage(kind: int, folder: Path) -> None:
    tensor = external()
    tensor.data_type = kind
    with pytest.raises(ModelDamagedError, match="holds no numbers"):
        check(folder, initializer(tensor))


@pytest.mark.parametrize("name", ["Add", "x", "weights", "y", "model.onnx_data", "location"])
def test_a_name_that_is_no_text_is_damage(name: str, folder: Path) -> None:
    data = initializer(external()).SerializeToString()
    (folder / GRAPH).write_bytes(data.replace(name.encode(), b"\xff" * len(name)))
    with pytest.raises(ModelDamagedError, match="names that are no text"):
        GraphFile.read(folder, GRAPH)


def test_a_tensor_is_as_long_as_its_numbers_whatever_it_says(folder: Path) -> None:
    tensor = external(length=4)
    tensor.dims[:] = [2**40, 2**40]
    with pytest.raises(ModelDamagedError, match="ends before"):
        check(folder, initializer(tensor))


@pytest.mark.parametrize(
    ("domain", "operator"), [("evil", "Run"), ("", "EPContext"), ("com.microsoft", "EPContext")]
)
def test_an_operator_of_a_stranger_is_refused(domain: str, operator: str, folder: Path) -> None:
    node = make.make_node(operator, ["x"], ["y"], domain=domain)
    inner = make.make_graph([node], "b", [], [])
    hidden = make.make_node("If", ["x"], ["y"], then_branch=inner, else_branch=inner)
    for each in (node, hidden):
        with pytest.raises(UnimplementedError, match=operator) as caught:
            check(folder, make.make_model(make.make_graph([each], "g", [], [])))
        assert caught.value.reason == "OPERATOR_UNSUPPORTED"


@pytest.mark.parametrize("content", [b"", b"\xff" * 100, b"bread", b"PK\3\4" * 9])
def test_what_is_no_graph_is_damage(content: bytes, folder: Path) -> None:
    (folder / GRAPH).write_bytes(content)
    with pytest.raises(ModelDamagedError, match=r"`onnx/model\.onnx`"):
        GraphFile.read(folder, GRAPH)


def test_a_graph_is_read_within_limits(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(graph_file, "PARTS_MAX", 1)
    with pytest.raises(GraphTooLargeError, match="more than 1 parts"):
        check(folder, initializer(external()))
    monkeypatch.setattr(graph_file, "GRAPH_BYTES_MAX", 10)
    with pytest.raises(GraphTooLargeError, match="bytes"):
        check(folder, initializer(external()))
