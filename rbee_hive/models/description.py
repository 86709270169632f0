"""What `rbee.json` says about a model, as far as a hive needs it.

What converts or describes a model writes the file last, and a worker reads all of it: the hive
reads what it decides by and what people are shown. The file stands between two programs, so it is
read by key and type, and unknown keys are left alone.
"""

import json
from dataclasses import dataclass
from pathlib import Path

from rbee_hive.models.fields import Fields
from rbee_shared.errors import DataLossError
from rbee_shared.references.safe_path import DESCRIPTION_FILE as FILE_NAME

FORMAT = 3
FILE_BYTES_MAX = 4 * 1024 * 1024
CONTEXT_LENGTH_MAX = 2**31 - 1
LAYERS_MAX = HEADS_MAX = 10_000
HEAD_DIM_MAX = 100_000
KV_VALUE_BYTES_MAX = 16


class DescriptionDamagedError(DataLossError):
    """A model's description cannot be read."""

    reason = "MODEL_DESCRIPTION_DAMAGED"
    hint = "pull the model again, or convert it again"

    def __init__(self, why: str) -> None:
        super().__init__(f"`{FILE_NAME}` of the model is damaged: {why}")


@dataclass(frozen=True, slots=True)
class Description:
    """What a model is. `parameter_count` and `context_length` in numbers and tokens.

    `layout` says how the files lie, `kv_value_bytes` what one number takes in the cache.
    """

    name: str
    architecture: str
    quantization: str
    licence: str
    parameter_count: int
    context_length: int
    layers: int
    kv_heads: int
    head_dim: int
    layout: str
    kv_value_bytes: int
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
    values = Fields(found, DescriptionDamagedError)
    if not values.is_value("format", FORMAT):
        raise DescriptionDamagedError(f"its format is not {FORMAT}")
    return of_fields(values, parameters="parameters", template="chat_template")


def of_fields(values: Fields, *, parameters: str, template: str) -> Description:
    """Return what a mapping says, of which two keys have the given names. Pure.

    Raises:
        RbeeError: a key is missing, of a wrong type, or beyond any model.
    """
    return Description(
        name=values.text("name"),
        architecture=values.text("architecture"),
        quantization=values.text("quantization"),
        licence=values.text("licence"),
        parameter_count=values.count(parameters),
        context_length=values.count("context_length", at_most=CONTEXT_LENGTH_MAX),
        layers=values.count("layers", at_most=LAYERS_MAX),
        kv_heads=values.count("kv_heads", at_most=HEADS_MAX),
        head_dim=values.count("head_dim", at_most=HEAD_DIM_MAX),
        layout=values.text("layout"),
        kv_value_bytes=values.count("kv_value_bytes", at_most=KV_VALUE_BYTES_MAX),
        has_chat_template=values.is_true(template),
    )
