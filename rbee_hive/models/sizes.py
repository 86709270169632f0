"""How large a model becomes, by what its source says before it is here. Pure estimates."""

from rbee_hive.models.metadata import is_weights
from rbee_hive.sources.choice import Choice, Layout
from rbee_shared.references.reference import Reference

BITS = {  # of one weight in a GGUF file, scales included, by llama.cpp's own figures
    "F32": 32.0,
    "F16": 16.0,
    "BF16": 16.0,
    "Q8_0": 8.5,
    "Q6_K": 6.6,
    "Q5_1": 6.0,
    "Q5_K_M": 5.7,
    "Q5_K_S": 5.5,
    "Q5_0": 5.5,
    "Q4_1": 5.0,
    "Q4_K_M": 4.85,
    "Q4_K_S": 4.6,
    "Q4_0": 4.5,
}
BITS_LEAST = 4.0  # of what is not in the table: the fewer, the larger the model is taken to be
MADE_BITS = {"": 9.0, "int8": 9.0, "exact": 9.0, "f32": 32.0}  # int8 with a scale for each 32


def made_bytes(choice: Choice, reference: Reference) -> int:
    """Return the bytes that are written besides what is fetched: the converted model."""
    return weights_bytes(choice, reference) if choice.layout == Layout.GGUF else 0


def weights_bytes(choice: Choice, reference: Reference) -> int:
    """Return the bytes that a worker loads."""
    if choice.layout != Layout.GGUF:
        return sum(each.file.size_bytes for each in choice.files if is_weights(each.file.path))
    bits = BITS.get(choice.quantization, BITS_LEAST)
    return int(choice.size_bytes / bits * MADE_BITS[reference.weights])
