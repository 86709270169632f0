"""Reading a GGUF file: its metadata by name, its tensors as float32, its damage as errors.

The `gguf` package has the format; here is what it leaves out: types, bounds, and clear refusals.
Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
"""

import math
from pathlib import Path
from typing import Any, cast

import gguf as untyped_gguf
import numpy as np
from numpy.typing import NDArray

from rbee_shared.errors import (
    DataLossError,
    FailedPreconditionError,
    NotFoundError,
    UnimplementedError,
)

gguf: Any = untyped_gguf

Floats = NDArray[np.float32]
MAGIC = b"GGUF"
SWAPPED = "S"  # how the package calls a byte order that is not this machine's
HEADER_ITEMS_MAX = 8_000_000  # ten times what a vocabulary of 256,000 tokens with merges has


class GgufDamagedError(DataLossError):
    """The file is no GGUF, or not a whole one."""

    reason = "MODEL_FILE_DAMAGED"
    hint = "fetch the file again; `sha256sum` tells whether it is what its source has"


class GgufFile:
    """One GGUF file, mapped into memory; a tensor is read when it is asked for."""

    def __init__(self, path: Path) -> None:
        """Open the file.

        Raises:
            NotFoundError: there is no such file.
            FailedPreconditionError: it cannot be read.
            GgufDamagedError: it is not a whole GGUF.
            UnimplementedError: it is of the other byte order.
        """
        self.name = path.name
        self._reader = _opened(path)
        self._tensors: dict[str, Any] = {each.name: each for each in self._reader.tensors}
        self.architecture = self.text("general.architecture")

    @property
    def tensor_names(self) -> frozenset[str]:
        """The names of all tensors."""
        return frozenset(self._tensors)

    def value(self, key: str) -> Any:
        """Return the metadata of that key; None if there is none.

        Raises:
            GgufDamagedError: it cannot be read.
        """
        field: Any = self._reader.fields.get(key)
        try:
            return None if field is None else field.contents()
        except (ValueError, IndexError) as error:
            raise GgufDamagedError(f"`{self.name}`: `{key}` cannot be read") from error

    def text(self, key: str) -> str:
        """Return a text; empty if there is none."""
        value = self.value(key)
        return value if isinstance(value, str) else ""

    def texts(self, key: str) -> list[str]:
        """Return a list of texts.

        Raises:
            GgufDamagedError: there is none, or it is of something else.
        """
        return cast("list[str]", self._list(key, str))

    def integers(self, key: str) -> list[int]:
        """Return a list of whole numbers.

        Raises:
            GgufDamagedError: there is none, or it is of something else.
        """
        return cast("list[int]", self._list(key, int))

    def number(self, key: str, default: float | None = None) -> float:
        """Return a number of the architecture's own keys.

        Raises:
            GgufDamagedError: it is missing and has no default, or it is no finite number.
        """
        key = f"{self.architecture}.{key}"
        value = self.value(key)
        if value is None and default is not None:
            return default
        if value is None:
            raise GgufDamagedError(f"`{self.name}` does not say `{key}`")
        if (
            not isinstance(value, int | float)
            or isinstance(value, bool)
            or not math.isfinite(value)
        ):
            raise GgufDamagedError(f"`{self.name}` says something else than a number as `{key}`")
        return value

    def count(self, key: str, default: int | None = None) -> int:
        """Return a whole number of the architecture's own keys, at least 1.

        Raises:
            GgufDamagedError: it is missing and has no default, or it is not positive.
        """
        value = int(self.number(key, default))
        if value < 1:
            raise GgufDamagedError(f"`{self.name}` says `{self.architecture}.{key}` is {value}")
        return value

    def shape(self, name: str) -> tuple[int, ...]:
        """Return the shape of a tensor, its slowest dimension first.

        Raises:
            GgufDamagedError: there is no such tensor.
        """
        return tuple(int(each) for each in reversed(self._tensor(name).shape))

    def floats(self, name: str, *shape: int) -> Floats:
        """Return a tensor as float32, its slowest dimension first.

        Args:
            name: of the tensor.
            *shape: what its shape must be.

        Raises:
            GgufDamagedError: there is no such tensor, or it holds what is no number.
            UnimplementedError: its shape is another, or its quantisation is not known.
        """
        tensor, found = self._tensor(name), self.shape(name)
        if found != shape:
            raise UnimplementedError(
                f"the tensor `{name}` of `{self.name}` has the shape {found}, not {shape}",
                reason="MODEL_SHAPE_UNSUPPORTED",
            )
        try:
            with np.errstate(over="ignore", invalid="ignore"):
                flat: Floats = gguf.dequantize(tensor.data, tensor.tensor_type)
                is_sound = bool(np.isfinite(flat.sum(dtype=np.float32)))
        except NotImplementedError as error:
            raise UnimplementedError(
                f"the quantisation `{tensor.tensor_type.name}` of `{name}` cannot be read",
                reason="QUANTIZATION_UNSUPPORTED",
            ) from error
        if not is_sound:
            raise GgufDamagedError(f"`{self.name}`: `{name}` holds infinite or undefined weights")
        return np.ascontiguousarray(flat.reshape(shape), dtype=np.float32)

    def parameter_count(self) -> int:
        """Return the number of weights."""
        return sum(int(each.n_elements) for each in self._tensors.values())

    def _tensor(self, name: str) -> Any:
        tensor = self._tensors.get(name)
        if tensor is None:
            raise GgufDamagedError(f"`{self.name}` has no tensor `{name}`")
        return tensor

    def _list(self, key: str, kind: type) -> list[Any]:
        value = self.value(key)
        if not isinstance(value, list) or not value:
            raise GgufDamagedError(f"`{self.name}` does not say `{key}`")
        items = cast("list[Any]", value)
        if not all(isinstance(each, kind) for each in items):
            raise GgufDamagedError(f"`{self.name}`: `{key}` is of another type")
        return items


class _Reader(untyped_gguf.GGUFReader):
    """The package's reader, which by itself takes what lies beyond the end for empty."""

    _items = 0

    def _get(
        self, offset: int, dtype: Any, count: Any = 1, override_order: Any = None
    ) -> NDArray[Any]:
        found: NDArray[Any] = super()._get(offset, dtype, count, override_order)
        self._items += 1
        if len(found) < count or self._items > HEADER_ITEMS_MAX:
            raise ValueError
        return found


def _opened(path: Path) -> Any:
    try:
        with path.open("rb") as opened:
            if opened.read(len(MAGIC)) != MAGIC:
                raise GgufDamagedError(f"`{path.name}` is not a GGUF file")
        reader = _Reader(path)
    except FileNotFoundError as error:
        raise NotFoundError(
            f"no file `{path.name}`",
            reason="MODEL_FILE_NOT_FOUND",
            hint="the path is taken from the folder in which the command runs",
        ) from error
    except OSError as error:
        raise FailedPreconditionError(
            f"`{path.name}` cannot be read: {error.strerror}",
            reason="MODEL_FILE_UNREADABLE",
            hint="it must be a file that this user may read",
        ) from error
    except (ValueError, LookupError, TypeError, OverflowError, RecursionError) as error:
        # whatever the package runs into where a file ends too early or lies about its lengths
        raise GgufDamagedError(f"`{path.name}` ends too early or is malformed") from error
    if reader.byte_order == SWAPPED:
        raise UnimplementedError(
            f"`{path.name}` is of the other byte order than this machine",
            reason="BYTE_ORDER_UNSUPPORTED",
        )
    return reader
