"""`rbee.json`: what a worker must know of a model besides its graph and tokenizer."""

import json
import os
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from types import UnionType
from typing import Any

from rbee_shared.errors import DataLossError

FILE_NAME = "rbee.json"
FORMAT = 3
LAYOUTS = ("rbee", "genai", "transformers")
KV_VALUE_BYTES = (4, 2, 1)
COUNTS = (
    "parameters",
    "layers",
    "heads",
    "kv_heads",
    "head_dim",
    "hidden_size",
    "vocab_size",
    "context_length",
)
TEXTS = ("name", "architecture", "quantization", "licence", "layout", "graph")


class ModelDamagedError(DataLossError):
    """A file of the model is missing or not what it should be."""

    reason = "MODEL_DAMAGED"
    hint = "`rbee model rm` it and pull it again; a folder of your own must be converted again"


@dataclass(frozen=True, slots=True)
class ModelDescription:
    """What a model is. Lengths in tokens; `eos_token_ids` end an answer.

    `layout` is where the folder's form comes from: our converter, onnxruntime-genai, or
    transformers.js. `graph` is the path of the graph in the folder, `kv_value_bytes` the size of
    one number in the KV cache.
    """

    name: str
    architecture: str
    quantization: str
    licence: str
    parameters: int
    layers: int
    heads: int
    kv_heads: int
    head_dim: int
    hidden_size: int
    vocab_size: int
    context_length: int
    bos_token_id: int | None
    eos_token_ids: tuple[int, ...]
    add_bos: bool
    chat_template: str | None
    layout: str = "rbee"
    graph: str = "model.onnx"
    kv_value_bytes: int = 4

    @classmethod
    def read(cls, folder: Path) -> "ModelDescription":
        """Read the description of the model in `folder`.

        Raises:
            ModelDamagedError: it is missing, malformed, or of another format.
        """
        try:
            values: dict[str, Any] = json.loads((folder / FILE_NAME).read_text(encoding="utf-8"))
            if values.pop("format") != FORMAT:
                raise ModelDamagedError(f"`{FILE_NAME}` of the model is of another format")
            known = {each.name: values[each.name] for each in fields(cls)}
            known["eos_token_ids"] = tuple(known["eos_token_ids"])
            description = cls(**known)
        except OSError as error:
            raise ModelDamagedError(f"`{FILE_NAME}` of the model: {error.strerror}") from error
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise ModelDamagedError(f"`{FILE_NAME}` of the model is malformed") from error
        description._check()
        return description

    def _check(self) -> None:
        kinds: dict[str, type | UnionType] = {
            **dict.fromkeys(TEXTS, str),
            **dict.fromkeys(COUNTS, int),
            "bos_token_id": int | None,
            "add_bos": bool,
            "chat_template": str | None,
        }
        wrong = [key for key, kind in kinds.items() if not isinstance(getattr(self, key), kind)]
        wrong += [key for key in COUNTS if key not in wrong and getattr(self, key) < 1]
        ends: tuple[Any, ...] = self.eos_token_ids
        if not all(isinstance(each, int) for each in ends):
            wrong.append("eos_token_ids")
        wrong += ["layout"] if self.layout not in LAYOUTS else []
        wrong += ["kv_value_bytes"] if self.kv_value_bytes not in KV_VALUE_BYTES else []
        if wrong:
            raise ModelDamagedError(f"`{FILE_NAME}` of the model: `{wrong[0]}` makes no sense")

    def write(self, folder: Path) -> None:
        """Write the description, at once or not at all, and last: with it the model is whole."""
        new = folder / f"{FILE_NAME}.new"
        with new.open("w", encoding="utf-8") as opened:
            json.dump({"format": FORMAT, **asdict(self)}, opened, indent=1, ensure_ascii=False)
            opened.flush()
            os.fsync(opened.fileno())
        new.replace(folder / FILE_NAME)
