"""A GGUF file: its metadata by name and type, its tensors row by row, its damage as errors.

Tensors are read from the file and not mapped into memory: of what is mapped, the pages that were
read count as this process's own, and a file that is cut short kills it without a word.
"""

import math
from collections.abc import Generator
from contextlib import contextmanager
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
from rbee_worker.convert.header import (
    ByteOrderError,
    Header,
    MalformedError,
    Tensor,
    UnknownKindError,
    read_header,
)

gguf: Any = untyped_gguf

Floats = NDArray[np.float32]
Bytes = NDArray[np.uint8]
MAGIC = b"GGUF"


class GgufDamagedError(DataLossError):
    """The file is no GGUF, or not a whole one."""

    reason = "MODEL_FILE_DAMAGED"
    hint = "fetch the file again; `sha256sum` tells whether it is what its source has"


class GgufFile:
    """One GGUF file; of its weights nothing is in memory but what was asked for last."""

    def __init__(self, path: Path) -> None:
        """Read the header.

        Raises:
            NotFoundError: there is no such file.
            FailedPreconditionError: it cannot be read.
            GgufDamagedError: it is not a whole GGUF.
            UnimplementedError: it is of the other byte order, or has a tensor of an unknown kind.
        """
        self.name, self._path = path.name, path
        header = _opened(path)
        self._values, self._tensors = header.values, header.tensors
        self.architecture = self.text("general.architecture")

    @property
    def tensor_names(self) -> frozenset[str]:
        """The names of all tensors."""
        return frozenset(self._tensors)

    @property
    def keys(self) -> frozenset[str]:
        """The keys of all metadata."""
        return frozenset(self._values)

    def value(self, key: str) -> Any:
        """Return the metadata of that key; None if there is none."""
        return self._values.get(key)

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
        return self._tensor(name).shape

    def kind(self, name: str) -> str:
        """Return how a tensor is stored, as `Q4_1`.

        Raises:
            GgufDamagedError: there is no such tensor.
        """
        return self._tensor(name).kind

    def floats(self, name: str, *shape: int) -> Floats:
        """Return a small tensor whole, as float32.

        Args:
            name: of the tensor.
            *shape: what its shape must be.

        Raises:
            GgufDamagedError: there is no such tensor, or it holds what is no number.
            UnimplementedError: its shape is another, or its quantisation is not known.
        """
        rows = list(self.rows(name, shape, at_once=max(1, math.prod(shape[:-1]))))
        return self.dequantized(name, rows[0]).reshape(shape)

    def rows(self, name: str, shape: tuple[int, ...], *, at_once: int) -> Generator[Bytes]:
        """Yield the rows of a tensor as the file has them, `at_once` at a time.

        Args:
            name: of the tensor.
            shape: what its shape must be.
            at_once: rows; the last time there may be fewer.

        Returns:
            uint8 [rows, bytes of a row], each a new array.

        Raises:
            GgufDamagedError: there is no such tensor; the file ends before it does.
            UnimplementedError: its shape is another.
            FailedPreconditionError: it cannot be read.
        """
        tensor = self._tensor(name)
        if tensor.shape != shape:
            raise UnimplementedError(
                f"the tensor `{name}` of `{self.name}` has the shape {tensor.shape}, not {shape}",
                reason="MODEL_SHAPE_UNSUPPORTED",
            )
        count = math.prod(shape[:-1])
        with _reading(self._path), self._path.open("rb", buffering=0) as opened:
            opened.seek(tensor.offset)
            for first in range(0, count, at_once):
                rows = np.empty((min(at_once, count - first), tensor.row_bytes), np.uint8)
                if opened.readinto(rows.data) != rows.nbytes:
                    raise GgufDamagedError(f"`{self.name}` ends too early")
                yield rows

    def dequantized(self, name: str, rows: Bytes) -> Floats:
        """Return rows of a tensor as float32.

        Args:
            name: of the tensor.
            rows: of it, as `rows` yields them.

        Returns:
            float32 [rows, columns].

        Raises:
            GgufDamagedError: they hold what is no number.
            UnimplementedError: the quantisation is not known.
        """
        kind = self.kind(name)
        try:
            with np.errstate(over="ignore", invalid="ignore"):
                found: Floats = gguf.dequantize(rows, gguf.GGMLQuantizationType[kind])
        except NotImplementedError as error:
            raise UnimplementedError(
                f"the quantisation `{kind}` of `{name}` cannot be read",
                reason="QUANTIZATION_UNSUPPORTED",
            ) from error
        self.check_finite(name, found)
        return np.ascontiguousarray(found.reshape(len(rows), -1), dtype=np.float32)

    def check_finite(self, name: str, values: Floats) -> None:
        """Check that all are numbers.

        Raises:
            GgufDamagedError: one is infinite or undefined.
        """
        with np.errstate(over="ignore", invalid="ignore"):
            is_sound = bool(np.isfinite(values.sum(dtype=np.float32)))
        if not is_sound:
            raise GgufDamagedError(f"`{self.name}`: `{name}` holds infinite or undefined weights")

    def parameter_count(self) -> int:
        """Return the number of weights."""
        return sum(each.elements for each in self._tensors.values())

    def _tensor(self, name: str) -> Tensor:
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


def _opened(path: Path) -> Header:
    try:
        with _reading(path):
            with path.open("rb") as opened:
                if opened.read(len(MAGIC)) != MAGIC:
                    raise GgufDamagedError(f"`{path.name}` is not a GGUF file")
            return read_header(path)
    except MalformedError as error:
        raise GgufDamagedError(f"`{path.name}` ends too early or is malformed") from error
    except ByteOrderError as error:
        raise UnimplementedError(
            f"`{path.name}` is of the other byte order than this machine",
            reason="BYTE_ORDER_UNSUPPORTED",
        ) from error
    except UnknownKindError as error:
        raise UnimplementedError(
            f"the quantisation of `{error.tensor}` has the number {error.number}, which is unknown",
            reason="QUANTIZATION_UNSUPPORTED",
        ) from error


@contextmanager
def _reading(path: Path) -> Generator[None]:
    try:
        yield
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
