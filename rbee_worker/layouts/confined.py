"""What a graph may reach: data in its own folder, and operators that compute and do nothing else.

An ONNX file is made by strangers. ONNX Runtime opens what its tensors name as external data, and
some operators open files or run code.
"""

import math
from pathlib import Path
from typing import Any

import onnx as untyped_onnx

from rbee_shared.errors import UnimplementedError
from rbee_worker.description import ModelDamagedError
from rbee_worker.layouts.folder import OutsideFolderError, file_in
from rbee_worker.layouts.graph_file import GraphFile

onnx: Any = untyped_onnx

DOMAINS = frozenset({"", "ai.onnx", "ai.onnx.ml", "com.microsoft"})
READS_FILES = "EPContext"  # an operator that names a file of its own
MEMORY_MARK = "_ORT_MEM_ADDR_"  # a place that ONNX Runtime takes for an address in memory
BITS = {"INT4": 4, "UINT4": 4, "FLOAT4E2M1": 4, "INT2": 2, "UINT2": 2}


def check_confined(folder: Path, graph: GraphFile) -> None:
    """Make sure that a graph reaches nothing but its folder; blocks for a moment.

    Raises:
        OutsideFolderError: a tensor's data would lie elsewhere.
        ModelDamagedError: a data file is missing or too short.
        UnimplementedError: an operator is not one of ONNX or ONNX Runtime.
    """
    for node in graph.nodes:
        is_known = node.domain in DOMAINS and node.op_type != READS_FILES
        if not is_known and (node.domain, node.op_type) not in graph.own_operators:
            name = f"{node.domain}.{node.op_type}".lstrip(".")
            raise UnimplementedError(
                f"the graph uses the operator `{name}`, which is not known",
                reason="OPERATOR_UNSUPPORTED",
                hint="operators of ONNX and of ONNX Runtime's `com.microsoft` are",
            )
    sizes: dict[str, int] = {}
    for tensor in graph.tensors:
        if tensor.data_location == onnx.TensorProto.EXTERNAL:
            _check_data(folder, graph.path.parent, tensor, sizes)


def place_of(tensor: Any) -> tuple[str, int, int]:
    """Return where the data of an external tensor lies: location, offset, length in bytes.

    Raises:
        ModelDamagedError: it does not say so.
    """
    said = {each.key: each.value for each in tensor.external_data}
    try:
        offset, length = (int(said.get(key, "0")) for key in ("offset", "length"))
        location = said["location"]
    except (ValueError, KeyError) as error:
        raise ModelDamagedError(f"the tensor `{tensor.name}` does not say where it is") from error
    if min(offset, length, *tensor.dims, 0) < 0:
        raise ModelDamagedError(f"the tensor `{tensor.name}` lies at a negative place")
    return location, offset, max(length, _bytes_of(tensor))


def _check_data(folder: Path, beside: Path, tensor: Any, sizes: dict[str, int]) -> None:
    location, offset, length = place_of(tensor)
    if MEMORY_MARK in location:
        raise OutsideFolderError(location)
    if location not in sizes:
        sizes[location] = file_in(folder, beside, location).stat().st_size
    if offset + length > sizes[location]:
        raise ModelDamagedError(f"`{location}` of the model ends before `{tensor.name}` does")


def _bytes_of(tensor: Any) -> int:
    known: dict[int, str] = {number: name for name, number in onnx.TensorProto.DataType.items()}
    kind = known.get(tensor.data_type, "UNDEFINED")
    if kind in ("STRING", "UNDEFINED"):
        raise ModelDamagedError(f"the tensor `{tensor.name}` holds no numbers")
    bits = BITS.get(kind) or 8 * onnx.helper.tensor_dtype_to_np_dtype(tensor.data_type).itemsize
    return -(-math.prod(tensor.dims) * bits // 8)
