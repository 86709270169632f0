"""Building an ONNX graph whose weights go straight to the data file, a stretch at a time.

Nothing but the stretch at hand is in memory, and one tensor can stand in the graph under several
names and shapes without being stored twice.
"""

from collections.abc import Iterable, Sequence
from math import prod
from typing import Any, BinaryIO

import numpy as np
import onnx as untyped_onnx
from numpy.typing import NDArray

onnx: Any = untyped_onnx

OPSET = 21
IR_VERSION = 10
MICROSOFT = "com.microsoft"  # the domain of ONNX Runtime's own operators
DATA_FILE = "model.onnx.data"
INLINE_BYTES_MAX = 1024
ALIGNMENT = 64

INT32, INT64, FLOAT = (
    onnx.TensorProto.INT32,
    onnx.TensorProto.INT64,
    onnx.TensorProto.FLOAT,
)
Array = NDArray[Any]


class Graph:
    """A graph under construction, its weights in `data`. Names of values are the edges."""

    def __init__(self, data: BinaryIO) -> None:
        self._data = data
        self._nodes: list[Any] = []
        self._initializers: dict[str, Any] = {}
        self._places: dict[str, tuple[int, int]] = {}
        self._inputs: list[Any] = []
        self._outputs: list[Any] = []

    def input(self, name: str, kind: int, shape: Sequence[int | str]) -> str:
        """Declare an input of the graph."""
        self._inputs.append(onnx.helper.make_tensor_value_info(name, kind, list(shape)))
        return name

    def output(self, name: str, kind: int, shape: Sequence[int | str]) -> None:
        """Declare an output of the graph."""
        self._outputs.append(onnx.helper.make_tensor_value_info(name, kind, list(shape)))

    def constant(self, name: str, values: Array) -> str:
        """Store a tensor under a name; a name that is stored already stays as it is."""
        if name in self._initializers:
            return name
        if values.ndim <= 1 and values.nbytes <= INLINE_BYTES_MAX:
            self._initializers[name] = onnx.numpy_helper.from_array(values, name)
            return name
        return self.stream(name, values.dtype, values.shape, [values])

    def stream(
        self, name: str, dtype: np.dtype[Any], shape: Sequence[int], parts: Iterable[Array]
    ) -> str:
        """Store a tensor that comes part by part along its first dimension."""
        self._data.write(b"\0" * (-self._data.tell() % ALIGNMENT))
        start = self._data.tell()
        for part in parts:
            assert part.dtype == dtype
            self._data.write(np.ascontiguousarray(part).data)
        length = self._data.tell() - start
        assert length == prod(shape) * dtype.itemsize
        self._places[name] = (start, length)
        kind = onnx.helper.np_dtype_to_tensor_dtype(dtype)
        self._initializers[name] = self._external(name, kind, shape, self._places[name])
        return name

    def same_data(self, name: str, of: str, shape: Sequence[int]) -> str:
        """Name a stored matrix again, in another shape, without storing it again."""
        kind = self._initializers[of].data_type
        self._initializers[name] = self._external(name, kind, shape, self._places[of])
        return name

    def node(
        self, operator: str, inputs: Sequence[str], outputs: Sequence[str], **attributes: Any
    ) -> str:
        """Add a node of ONNX's own operators and return its first output."""
        return self._node(operator, inputs, outputs, "", attributes)

    def ms_node(
        self, operator: str, inputs: Sequence[str], outputs: Sequence[str], **attributes: Any
    ) -> str:
        """Add a node of ONNX Runtime's operators and return its first output."""
        return self._node(operator, inputs, outputs, MICROSOFT, attributes)

    def serialized(self) -> bytes:
        """Return the graph as a file has it that stands beside the data, named `DATA_FILE`."""
        graph = onnx.helper.make_graph(
            self._nodes, "rbee", self._inputs, self._outputs, list(self._initializers.values())
        )
        model = onnx.helper.make_model(
            graph,
            opset_imports=[
                onnx.helper.make_opsetid("", OPSET),
                onnx.helper.make_opsetid(MICROSOFT, 1),
            ],
            ir_version=IR_VERSION,
            producer_name="rbee",
        )
        return bytes(model.SerializeToString(deterministic=True))

    def _node(
        self,
        operator: str,
        inputs: Sequence[str],
        outputs: Sequence[str],
        domain: str,
        attributes: dict[str, Any],
    ) -> str:
        name = f"{operator}_{len(self._nodes)}"
        node = onnx.helper.make_node(
            operator, list(inputs), list(outputs), name=name, domain=domain, **attributes
        )
        self._nodes.append(node)
        return outputs[0]

    def _external(self, name: str, kind: int, shape: Sequence[int], place: tuple[int, int]) -> Any:
        tensor = onnx.TensorProto(name=name, data_type=kind, dims=list(shape))
        tensor.data_location = onnx.TensorProto.EXTERNAL
        offset, length = place
        for key, value in (("location", DATA_FILE), ("offset", offset), ("length", length)):
            tensor.external_data.add(key=key, value=str(value))
        return tensor
