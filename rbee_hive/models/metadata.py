"""A model of the store, and its `metadata.yaml`: to text and back. Pure.

The file is written last, so a folder that has one is whole. People may read it; rbee trusts none of
it unread: a key that is missing or of a wrong type makes the entry damaged, never a traceback.
"""

from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import Any

import yaml

from rbee_hive.models import description
from rbee_hive.models.description import Description, of_fields
from rbee_hive.models.fields import Fields
from rbee_hive.models.plain_yaml import load
from rbee_shared.errors import DataLossError
from rbee_shared.references.safe_path import METADATA_FILE as FILE_NAME, is_safe

FORMAT = 2
WEIGHT_WORDS = (".onnx", ".data")  # `.onnx_data`, `.onnx_data_1` and `.onnx.data` too

_Dumper: Any = getattr(yaml, "CSafeDumper", yaml.SafeDumper)


class MetadataDamagedError(DataLossError):
    """An entry of the store cannot be read."""

    reason = "MODEL_DAMAGED"
    hint = "`rbee model pull` puts a good one in its place"


@dataclass(frozen=True, slots=True)
class ModelFile:
    """One file. `path` is inside the model's folder, with `/`."""

    path: str
    size_bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class StoredModel:
    """A model that is here, verified when it came.

    `revision` is what the source calls this version. `source_sha256` is of the GGUF file, or of the
    list of hashes of files that were ready as they came; `archive_sha256` of the wheel it was in,
    else empty. `converter` says what made the files; empty: they are as they came. `create_time_s`
    is seconds since the epoch.
    """

    folder: Path
    reference: str
    alias: str
    source: str
    revision: str
    source_sha256: str
    archive_sha256: str
    converter: str
    create_time_s: float
    files: tuple[ModelFile, ...]
    description: Description

    @property
    def size_bytes(self) -> int:
        """All files."""
        return sum(file.size_bytes for file in self.files)

    @property
    def weights_bytes(self) -> int:
        """The files that a worker loads as the graph and its weights."""
        return sum(file.size_bytes for file in self.files if is_weights(file.path))

    @property
    def context_length(self) -> int:
        """Tokens that its context holds."""
        return self.description.context_length

    @property
    def kv_bytes_per_token(self) -> int:
        """What one token takes in the KV cache: keys and values of every layer."""
        found = self.description
        return 2 * found.layers * found.kv_heads * found.head_dim * found.kv_value_bytes


def is_weights(path: str) -> bool:
    """Return whether a file of that name is a graph or its weights."""
    return any(word in PurePosixPath(path).name for word in WEIGHT_WORDS)


@dataclass(frozen=True, slots=True)
class ModelFault:
    """What is wrong with an entry. `path` empty: the entry as a whole."""

    reference: str
    path: str
    message: str


def to_yaml(model: StoredModel) -> str:
    """Return the text of `metadata.yaml`."""
    created = datetime.fromtimestamp(model.create_time_s, tz=UTC).isoformat()
    values: dict[str, object] = {
        "format": FORMAT,
        "reference": model.reference,
        "alias": model.alias,
        "source": model.source,
        "revision": model.revision,
        "source_sha256": model.source_sha256,
        "archive_sha256": model.archive_sha256,
        "converter": model.converter,
        "created": created,
        "model": asdict(model.description),
        "files": [asdict(file) for file in model.files],
    }
    return str(yaml.dump(values, Dumper=_Dumper, sort_keys=False, allow_unicode=True))


def from_yaml(text: str, folder: Path) -> StoredModel:
    """Return the model that the text of a `metadata.yaml` in `folder` describes.

    Raises:
        MetadataDamagedError: a key is missing or has a wrong type.
    """
    try:
        values = Fields(load(text), _damaged)
        if not values.is_value("format", FORMAT):
            raise MetadataDamagedError(f"the format of `{FILE_NAME}` is not {FORMAT}")
        return StoredModel(
            folder=folder,
            **{name: values.text(name) for name in _TEXTS},
            create_time_s=datetime.fromisoformat(values.text("created")).timestamp(),
            files=tuple(_file(each) for each in values.each("files")),
            description=of_fields(
                values.inner("model"), parameters="parameter_count", template="has_chat_template"
            ),
        )
    except (ValueError, OverflowError) as error:
        raise MetadataDamagedError(f"`{FILE_NAME}` is malformed") from error


_TEXTS = (
    "reference",
    "alias",
    "source",
    "revision",
    "source_sha256",
    "archive_sha256",
    "converter",
)


def _damaged(why: str) -> MetadataDamagedError:
    return MetadataDamagedError(f"`{FILE_NAME}` is malformed: {why}")


def _file(values: Fields) -> ModelFile:
    path = values.text("path")
    if not is_safe(path, own=(description.FILE_NAME,)):
        raise MetadataDamagedError(f"`{FILE_NAME}` names a file that no model has")
    return ModelFile(path, values.count("size_bytes"), values.text("sha256"))
