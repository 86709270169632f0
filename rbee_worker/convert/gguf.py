"""Reading a GGUF file: its metadata by name, its tensors as float32, its damage as errors.

The `gguf` package has the format; here is what it leaves out: types, bounds, and clear refusals.
Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
"""

from pathlib import Path
from typing import Any, cast

import gguf as untyped_gguf
import numpy as np
from numpy.typing import NDArray

from rbee_shared.errors import DataLossError, UnimplementedError

gguf: Any = untyped_gguf

Floats = NDArray[np.float32]
MAGIC = b"GGUF"


class GgufDamagedError(DataLossError):
    """The file is no GGUF, or not a whole one."""

    reason = "MODEL_FILE_DAMAGED"
    hint = "fetch the file again; `sha256sum` tells whether it is what its source has"


class GgufFile:
    """One GGUF file, mapped into memory; a tensor is read when it is asked for."""

    def __init__(self, path: Path) -> None:
        """Open the file.

        Raises:
            GgufDamagedError: it is not a whole GGUF.
        """
        self._name = path.name
        try:
            with path.open("rb") as opened:
                if opened.read(len(MAGIC)) != MAGIC:
                    raise GgufDamagedError(f"`{self._name}` is not a GGUF file")
            self._reader: Any = gguf.GGUFReader(path)
        except OSError as error:
            raise GgufDamagedError(f"`{self._name}`: {error.strerror}") from error
        except (ValueError, IndexError, KeyError, TypeError, OverflowError, MemoryError) as error:
            raise GgufDamagedError(f"`{self._name}` ends too early or is malformed") from error
        self._tensors: dict[str, Any] = {each.name: each for each in self._reader.tensors}
        size = path.stat().st_size
        for each in self._tensors.values():
            if int(each.data_offset) + int(each.n_bytes) > size:
                raise GgufDamagedError(f"`{self._name}` ends before its tensor `{each.name}`")
        self.architecture = self.text("general.architecture")

    def __contains__(self, name: str) -> bool:
        """Whether there is such a tensor."""
        return name in self._tensors

    def value(self, key: str) -> Any:
        """Return the metadata of that key; None if there is none."""
        field: Any = self._reader.fields.get(key)
        return None if field is None else field.contents()

    def text(self, key: str) -> str:
        """Return a text; empty if there is none."""
        value = self.value(key)
        return value if isinstance(value, str) else ""

    def number(self, key: str, default: float | None = None) -> float:
        """Return a number of the architecture's own keys.

        Raises:
            GgufDamagedError: it is missing and has no default.
        """
        value = self.value(f"{self.architecture}.{key}")
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            return value
        if default is None:
            raise GgufDamagedError(f"`{self._name}` does not say `{self.architecture}.{key}`")
        return default

    def count(self, key: str, default: int | None = None) -> int:
        """Return a whole number of the architecture's own keys, at least 1.

        Raises:
            GgufDamagedError: it is missing and has no default, or it is not positive.
        """
        value = int(self.number(key, default))
        if value < 1:
            raise GgufDamagedError(f"`{self._name}` says `{self.architecture}.{key}` is {value}")
        return value

    def floats(self, name: str) -> Floats:
        """Return a tensor as float32, its slowest dimension first.

        Raises:
            GgufDamagedError: there is no such tensor.
            UnimplementedError: its quantisation is not known.
        """
        tensor = self._tensors.get(name)
        if tensor is None:
            raise GgufDamagedError(f"`{self._name}` has no tensor `{name}`")
        try:
            flat: Any = gguf.dequantize(tensor.data, tensor.tensor_type)
        except NotImplementedError as error:
            raise UnimplementedError(
                f"the quantisation `{tensor.tensor_type.name}` of `{name}` cannot be read",
                reason="QUANTIZATION_UNSUPPORTED",
            ) from error
        shape = tuple(int(each) for each in reversed(tensor.shape))
        return np.ascontiguousarray(cast("Floats", flat).reshape(shape), dtype=np.float32)

    def parameter_count(self) -> int:
        """Return the number of weights."""
        return sum(int(each.n_elements) for each in self._tensors.values())
