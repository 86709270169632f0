"""A model of the store, and its `metadata.yaml`: to text and back. Pure.

The file is written last, so a folder that has one is whole. People may read it; rbee trusts none of
it unread: a key that is missing or of a wrong type makes the entry damaged, never a traceback.
"""

from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import cast

import yaml

from rbee_hive.models.description import Description
from rbee_shared.errors import DataLossError

FILE_NAME = "metadata.yaml"
FORMAT = 1
PARSED_KEPT_MAX = 1_000
KV_VALUE_BYTES = 4  # the cache holds float32
WEIGHT_SUFFIXES = (".onnx", ".data")


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

    `source_sha256` is of the GGUF file, or of the list of hashes of a folder that was ready as it
    came; `archive_sha256` of the wheel it was in, else empty. `converter` says what made the files;
    empty: they are as they came. `create_time_s` is seconds since the epoch.
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
        return sum(file.size_bytes for file in self.files if file.path.endswith(WEIGHT_SUFFIXES))

    @property
    def context_length(self) -> int:
        """Tokens that its context holds."""
        return self.description.context_length

    @property
    def kv_bytes_per_token(self) -> int:
        """What one token takes in the KV cache: keys and values of every layer."""
        found = self.description
        return 2 * found.layers * found.kv_heads * found.head_dim * KV_VALUE_BYTES


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
    return yaml.safe_dump(values, sort_keys=False, allow_unicode=True)


@lru_cache(maxsize=PARSED_KEPT_MAX)  # a hive lists its models each second; the text seldom changes
def from_yaml(text: str, folder: Path) -> StoredModel:
    """Return the model that the text of a `metadata.yaml` in `folder` describes.

    Raises:
        MetadataDamagedError: a key is missing or has a wrong type.
    """
    try:
        values = _mapping(cast("object", yaml.safe_load(text)))
        if values.get("format") != FORMAT:
            raise MetadataDamagedError(f"the format of `{FILE_NAME}` is not {FORMAT}")
        return StoredModel(
            folder=folder,
            **{name: _text(values, name) for name in _TEXTS},
            create_time_s=datetime.fromisoformat(_text(values, "created")).timestamp(),
            files=tuple(_file(each) for each in _list(values, "files")),
            description=_description(_mapping(values.get("model"))),
        )
    except (yaml.YAMLError, ValueError, RecursionError) as error:
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


def _description(values: dict[str, object]) -> Description:
    return Description(
        name=_text(values, "name"),
        architecture=_text(values, "architecture"),
        quantization=_text(values, "quantization"),
        licence=_text(values, "licence"),
        parameter_count=_count(values, "parameter_count"),
        context_length=_count(values, "context_length"),
        layers=_count(values, "layers"),
        kv_heads=_count(values, "kv_heads"),
        head_dim=_count(values, "head_dim"),
        has_chat_template=values.get("has_chat_template") is True,
    )


def _file(value: object) -> ModelFile:
    values = _mapping(value)
    path = _text(values, "path")
    inside = PurePosixPath(path)
    if not path or inside.is_absolute() or ".." in inside.parts:
        raise MetadataDamagedError(f"`{FILE_NAME}` names a file outside of its folder")
    return ModelFile(path, _count(values, "size_bytes"), _text(values, "sha256"))


def _mapping(value: object) -> dict[str, object]:
    if not isinstance(value, dict):
        raise MetadataDamagedError(f"`{FILE_NAME}` is malformed")
    return cast("dict[str, object]", value)


def _list(values: dict[str, object], key: str) -> list[object]:
    value = values.get(key)
    if not isinstance(value, list):
        raise MetadataDamagedError(f"`{key}` of `{FILE_NAME}` is missing or malformed")
    return cast("list[object]", value)


def _text(values: dict[str, object], key: str) -> str:
    value = values.get(key)
    if not isinstance(value, str):
        raise MetadataDamagedError(f"`{key}` of `{FILE_NAME}` is missing or malformed")
    return value


def _count(values: dict[str, object], key: str) -> int:
    value = values.get(key)
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise MetadataDamagedError(f"`{key}` of `{FILE_NAME}` is missing or malformed")
    return value
