"""An ONNX graph as its file has it, read without its external weights: values, nodes, tensors.

Whatever hides in subgraphs, functions and attributes is found as well, so that who checks nodes and
tensors checks all of them.
"""

from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import onnx as untyped_onnx

from rbee_shared.errors import UnimplementedError
from rbee_worker.description import ModelDamagedError
from rbee_worker.layouts.folder import file_in

onnx: Any = untyped_onnx

GRAPH_BYTES_MAX = 2**31 - 1  # what protobuf can hold
PARTS_MAX = 500_000  # nodes and tensors; the largest decoders have some ten thousand


class GraphTooLargeError(UnimplementedError):
    """A graph is larger than any that is known."""

    reason = "MODEL_TOO_LARGE"
    hint = "large models keep their weights in a file beside the graph"


@dataclass(frozen=True, slots=True)
class Value:
    """An input or output. `kind` is its ONNX element type; a size is None where it is free."""

    name: str
    kind: int
    sizes: tuple[int | None, ...]

    @property
    def kind_name(self) -> str:
        """The element type as people write it: `float16`."""
        known: dict[int, str] = {number: name for name, number in onnx.TensorProto.DataType.items()}
        return known.get(self.kind, str(self.kind)).lower()


@dataclass(frozen=True, slots=True)
class GraphFile:
    """A parsed file. `nodes` and `tensors` are all there are, `main_nodes` the outermost."""

    path: Path
    inputs: tuple[Value, ...]
    outputs: tuple[Value, ...]
    main_nodes: tuple[Any, ...]
    nodes: tuple[Any, ...]
    tensors: tuple[Any, ...]
    own_operators: frozenset[tuple[str, str]]

    @classmethod
    def read(cls, folder: Path, name: str) -> "GraphFile":
        """Read the graph `name`, a path within `folder`.

        Raises:
            OutsideFolderError: the path leaves the folder.
            ModelDamagedError: it is missing or no graph.
            GraphTooLargeError: it is larger than any that is known.
        """
        path = file_in(folder, folder, name)
        model = _parsed(path, name)
        functions = list(model.functions)
        nodes, tensors = _parts([model.graph, *functions], name)
        _check_texts(model.graph, nodes, tensors, name)
        stored = {each.name for each in model.graph.initializer}
        return cls(
            path=path,
            inputs=tuple(_value(each) for each in model.graph.input if each.name not in stored),
            outputs=tuple(_value(each) for each in model.graph.output),
            main_nodes=tuple(model.graph.node),
            nodes=tuple(nodes),
            tensors=tuple(tensors),
            own_operators=frozenset((each.domain, each.name) for each in functions),
        )


def _parsed(path: Path, name: str) -> Any:
    if path.stat().st_size > GRAPH_BYTES_MAX:
        raise GraphTooLargeError(f"the graph `{name}` has more than {GRAPH_BYTES_MAX} bytes")
    try:
        model = onnx.load_model_from_string(path.read_bytes())
    except OSError as error:
        raise ModelDamagedError(f"`{name}` of the model: {error.strerror}") from error
    except Exception as error:  # protobuf's error is of a module that is not public
        raise ModelDamagedError(f"`{name}` of the model is no ONNX graph") from error
    if not model.graph.node:
        raise ModelDamagedError(f"`{name}` of the model holds no graph")
    return model


def _parts(graphs: list[Any], name: str) -> tuple[list[Any], list[Any]]:
    nodes: list[Any] = []
    tensors: list[Any] = []
    while graphs:
        graph = graphs.pop()
        nodes += graph.node
        attributes = [attribute for node in graph.node for attribute in node.attribute]
        if isinstance(graph, onnx.GraphProto):
            tensors += graph.initializer
            sparse = list(graph.sparse_initializer)
        else:
            attributes += graph.attribute_proto
            sparse = []
        for attribute in attributes:
            graphs += [attribute.g] if attribute.HasField("g") else []
            graphs += attribute.graphs
            tensors += [attribute.t] if attribute.HasField("t") else []
            tensors += attribute.tensors
            sparse += [attribute.sparse_tensor] if attribute.HasField("sparse_tensor") else []
            sparse += attribute.sparse_tensors
        tensors += [part for each in sparse for part in (each.values, each.indices)]
        if len(nodes) + len(tensors) > PARTS_MAX:
            raise GraphTooLargeError(f"the graph `{name}` has more than {PARTS_MAX} parts")
    return nodes, tensors


def _check_texts(graph: Any, nodes: list[Any], tensors: list[Any], name: str) -> None:
    # what is no UTF-8 comes as bytes, which would slip through every comparison
    texts = chain(
        (each.name for each in chain(graph.input, graph.output, tensors)),
        (text for each in nodes for text in (each.op_type, each.domain)),
        (text for each in nodes for text in chain(each.input, each.output)),
        (pair.key for each in tensors for pair in each.external_data),
        (pair.value for each in tensors for pair in each.external_data),
    )
    if not all(isinstance(each, str) for each in texts):
        raise ModelDamagedError(f"`{name}` of the model has names that are no text")


def _value(info: Any) -> Value:
    tensor = info.type.tensor_type
    sizes = (each.dim_value for each in tensor.shape.dim)  # 0 where it is a name
    return Value(info.name, int(tensor.elem_type), tuple(n if n > 0 else None for n in sizes))
