"""A GGUF again in Q4_0, what llama.cpp is fastest with, as llama-quantize makes it.

The matrix that turns states into logits, which may be the embedding, stays what it is, or becomes
Q8_0 (llama-quantize takes Q6_K where its blocks fit). Vectors stay what they are.
"""

from pathlib import Path
from typing import Any

import gguf as untyped_gguf

gguf: Any = untyped_gguf

MATRIX_AXES = 2
EMBEDDING, OUTPUT = "token_embd.weight", "output.weight"
FLOATS = ("F32", "F16", "BF16")
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
    output = OUTPUT if OUTPUT in (tensor.name for tensor in reader.tensors) else EMBEDDING
    for tensor in reader.tensors:
        _add(writer, tensor, is_output=tensor.name == output)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _add(writer: Any, tensor: Any, *, is_output: bool) -> None:
    kinds = gguf.GGMLQuantizationType
    is_kept = is_output and tensor.tensor_type.name not in FLOATS
    if len(tensor.shape) < MATRIX_AXES or is_kept:
        writer.add_tensor(tensor.name, tensor.data, raw_dtype=tensor.tensor_type)
        return
    kind = kinds.Q8_0 if is_output else kinds.Q4_0
    numbers = gguf.quants.dequantize(tensor.data, tensor.tensor_type)
    writer.add_tensor(tensor.name, gguf.quants.quantize(numbers, kind), raw_dtype=kind)
