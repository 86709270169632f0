"""JSON files of strangers, read by key and type within limits."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from rbee_worker.description import ModelDamagedError
from rbee_worker.layouts.folder import file_in

FILE_BYTES_MAX = 16 * 1024 * 1024


class Settings:
    """What one file says, or a section of it; nothing where there is no such file."""

    def __init__(self, name: str, values: Mapping[str, Any]) -> None:
        self.name = name
        self._values = values

    @classmethod
    def read(cls, folder: Path, name: str) -> "Settings":
        """Read the file `name` of the folder.

        Raises:
            OutsideFolderError: it is a link that leads out of the folder.
            ModelDamagedError: it is no JSON object, or too long.
        """
        data = text_of(folder, name)
        if data is None:
            return cls(name, {})
        try:
            found = json.loads(data)
        except (ValueError, RecursionError) as error:
            raise ModelDamagedError(f"`{name}` of the model is not JSON") from error
        if not isinstance(found, dict):
            raise ModelDamagedError(f"`{name}` of the model is not an object")
        return cls(name, cast("dict[str, Any]", found))

    def __bool__(self) -> bool:
        """Whether it says anything."""
        return bool(self._values)

    def __contains__(self, key: str) -> bool:
        """Whether it says something of that key, be it null."""
        return key in self._values

    def value(self, key: str) -> Any:
        """Return what it says of that key, of any type; None if nothing."""
        return self._values.get(key)

    def section(self, key: str) -> "Settings":
        """Return an object within; an empty one if there is none.

        Raises:
            ModelDamagedError: it is of another type.
        """
        found = self._values.get(key)
        if found is None:
            return Settings(self.name, {})
        if not isinstance(found, dict):
            raise self._wrong(key)
        return Settings(self.name, cast("dict[str, Any]", found))

    def text(self, key: str) -> str:
        """Return a text; empty if there is none.

        Raises:
            ModelDamagedError: it is of another type.
        """
        found = self._values.get(key)
        if found is None:
            return ""
        if not isinstance(found, str):
            raise self._wrong(key)
        return found

    def count(self, *keys: str) -> int | None:
        """Return a whole number of at least 1 by the first key that is there; None if none is.

        Raises:
            ModelDamagedError: it is something else.
        """
        for key in keys:
            found = self._values.get(key)
            if found is None:
                continue
            if not isinstance(found, int) or isinstance(found, bool) or found < 1:
                raise self._wrong(key)
            return found
        return None

    def tokens(self, key: str) -> tuple[int, ...]:
        """Return numbers of tokens, be they one or a list.

        Raises:
            ModelDamagedError: it is something else.
        """
        found = self._values.get(key)
        items = cast("list[Any]", found) if isinstance(found, list) else [found]
        numbers = [each for each in items if each is not None]
        if not all(isinstance(each, int) and each >= 0 for each in numbers):
            raise self._wrong(key)
        return tuple(numbers)

    def _wrong(self, key: str) -> ModelDamagedError:
        return ModelDamagedError(f"`{key}` in `{self.name}` of the model makes no sense")


def text_of(folder: Path, name: str) -> str | None:
    """Return the text of a file of the folder; None if there is no such file.

    Raises:
        OutsideFolderError: it is a link that leads out of the folder.
        ModelDamagedError: it cannot be read, is too long, or is no text.
    """
    if not (folder / name).exists():
        return None
    try:
        with file_in(folder, folder, name).open("rb") as opened:
            data = opened.read(FILE_BYTES_MAX + 1)
    except OSError as error:
        raise ModelDamagedError(f"`{name}` of the model: {error.strerror}") from error
    if len(data) > FILE_BYTES_MAX:
        raise ModelDamagedError(f"`{name}` of the model has more than {FILE_BYTES_MAX} bytes")
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise ModelDamagedError(f"`{name}` of the model is not text") from error
