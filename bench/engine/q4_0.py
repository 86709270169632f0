"""A GGUF again in Q4_0, what llama.cpp is fastest with, as llama-quantize makes it.

The matrix that turns states into logits, which may be the embedding, stays as good as it is, and so
do vectors.
"""

from pathlib import Path
from typing import Any

import gguf as untyped_gguf

gguf: Any = untyped_gguf

MATRIX_AXES = 2
KEPT = ("token_embd.weight", "output.weight")
WRITTEN_BY_WRITER = ("GGUF.", "general.architecture", "general.file_type")


def requantized(source: Path, target: Path) -> None:
    """Write `target` from `source`; takes seconds, and the numbers lose what 4 bits cannot hold."""
    reader = gguf.GGUFReader(source)
    architecture = reader.fields["general.architecture"].contents()
    writer = gguf.GGUFWriter(target, architecture)
    for name, field in reader.fields.items():
        if not name.startswith(WRITTEN_BY_WRITER):
            inner = field.types[1] if len(field.types) > 1 else None
            writer.add_key_value(name, field.contents(), field.types[0], sub_type=inner)
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_Q4_0)
    for tensor in reader.tensors:
        _add(writer, tensor)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _add(writer: Any, tensor: Any) -> None:
    kinds = gguf.GGMLQuantizationType
    if len(tensor.shape) < MATRIX_AXES or _is_kept(tensor):
        writer.add_tensor(tensor.name, tensor.data, raw_dtype=tensor.tensor_type)
        return
    kind = kinds.Q8_0 if tensor.name in KEPT else kinds.Q4_0
    numbers = gguf.quants.dequantize(tensor.data, tensor.tensor_type)
    writer.add_tensor(tensor.name, gguf.quants.quantize(numbers, kind), raw_dtype=kind)


def _is_kept(tensor: Any) -> bool:
    return tensor.name in KEPT and tensor.tensor_type.name not in ("F32", "F16", "BF16")
