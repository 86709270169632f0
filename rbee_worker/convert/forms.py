"""In which form a matrix is stored: what the user wants, what its kind in the file allows. Pure.

An exact form holds the very numbers that the file's blocks stand for; whatever has none (K-quants,
half floats) becomes int8, and the model's description says so.
"""

from collections.abc import Iterable
from enum import Enum, StrEnum


class Precision(StrEnum):
    """How near the converted weights are to the file's."""

    INT8 = "int8"
    EXACT = "exact"
    F32 = "f32"


class Form(Enum):
    """How a matrix is stored, in blocks of 32 numbers but for `FLOAT`.

    `INT4_OFFSET` is `INT4` and a float for each block, which is added to all its numbers.
    """

    INT8 = "int8"
    INT4 = "int4"
    INT4_OFFSET = "int4+offset"
    FLOAT = "float"


BITS = {Form.INT8: 8, Form.INT4: 4, Form.INT4_OFFSET: 4}
EXACT_FORMS = {"Q8_0": Form.INT8, "Q4_0": Form.INT4, "Q4_1": Form.INT4_OFFSET}
NAMES = {Precision.INT8: "int8-block32", Precision.EXACT: "exact", Precision.F32: "float32"}
MIXED = "exact+int8"


def has_int8_cache(precision: Precision) -> bool:
    """Return whether keys and values are kept as 8-bit integers; `F32` is to compare with."""
    return precision is not Precision.F32


def form_of(kind: str, precision: Precision) -> Form:
    """Return the form in which a matrix of that kind is stored."""
    match precision:
        case Precision.F32:
            return Form.FLOAT
        case Precision.INT8:
            return Form.INT8
        case Precision.EXACT:
            return EXACT_FORMS.get(kind, Form.INT8)


def quantization(kinds: Iterable[str], precision: Precision) -> str:
    """Return what the description says of matrices of those kinds."""
    if precision is Precision.EXACT and not EXACT_FORMS.keys() >= set(kinds):
        return MIXED
    return NAMES[precision]
