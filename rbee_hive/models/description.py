"""What `rbee.json` says about a converted model, as far as a hive needs it.

The converter writes the file last, and a worker reads all of it: the hive reads what it decides by
and what people are shown. The file stands between two programs, so it is read by key and type, and
unknown keys are left alone.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from rbee_shared.errors import DataLossError

FILE_NAME = "rbee.json"
FORMAT = 1
FILE_BYTES_MAX = 4 * 1024 * 1024


class DescriptionDamagedError(DataLossError):
    """A model's description cannot be read."""

    reason = "MODEL_DESCRIPTION_DAMAGED"
    hint = "pull the model again, or convert it again"

    def __init__(self, why: str) -> None:
        super().__init__(f"`{FILE_NAME}` of the model is damaged: {why}")


@dataclass(frozen=True, slots=True)
class Description:
    """What a model is. `parameter_count` and `context_length` in numbers and tokens."""

    name: str
    architecture: str
    quantization: str
    licence: str
    parameter_count: int
    context_length: int
    layers: int
    kv_heads: int
    head_dim: int
    has_chat_template: bool


def read(folder: Path) -> Description:
    """Read the description of a model's folder; blocks.

    Raises:
        DescriptionDamagedError: it is missing, malformed or of another format.
    """
    try:
        with (folder / FILE_NAME).open("rb") as file:
            return parse(file.read(FILE_BYTES_MAX + 1))
    except OSError as error:
        raise DescriptionDamagedError(error.strerror or "it cannot be read") from error


def parse(data: bytes) -> Description:
    """Return what the bytes of the file say. Pure.

    Raises:
        DescriptionDamagedError: they are malformed or of another format.
    """
    if len(data) > FILE_BYTES_MAX:
        raise DescriptionDamagedError(f"it has more than {FILE_BYTES_MAX} bytes")
    try:
        found = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise DescriptionDamagedError("it is not JSON") from error
    if not isinstance(found, dict):
        raise DescriptionDamagedError("it is not an object")
    values = cast("dict[str, object]", found)
    if values.get("format") != FORMAT:
        raise DescriptionDamagedError(f"its format is not {FORMAT}")
    return Description(
        name=_text(values, "name"),
        architecture=_text(values, "architecture"),
        quantization=_text(values, "quantization"),
        licence=_text(values, "licence"),
        parameter_count=_count(values, "parameters"),
        context_length=_count(values, "context_length"),
        layers=_count(values, "layers"),
        kv_heads=_count(values, "kv_heads"),
        head_dim=_count(values, "head_dim"),
        has_chat_template=bool(values.get("chat_template")),
    )


def _text(values: dict[str, object], key: str) -> str:
    value = values.get(key)
    if not isinstance(value, str):
        raise DescriptionDamagedError(f"`{key}` is not a text")
    return value


def _count(values: dict[str, object], key: str) -> int:
    value = values.get(key)
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise DescriptionDamagedError(f"`{key}` is not a count")
    return value
