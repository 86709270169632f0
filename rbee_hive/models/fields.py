"""Reading by key and type what a file says: a wrong type is damage, never a traceback."""

from collections.abc import Callable
from typing import cast

from rbee_shared.errors import RbeeError

COUNT_MAX = 2**48  # no model comes near; what is counted together stays in 64 bits

Damaged = Callable[[str], RbeeError]


class Fields:
    """The keys of one mapping. `damaged` makes the error of what is wrong with it."""

    def __init__(self, values: object, damaged: Damaged) -> None:
        """Take the mapping.

        Raises:
            RbeeError: it is none, by `damaged`.
        """
        if not isinstance(values, dict):
            raise damaged("it is no mapping")
        self._values = cast("dict[str, object]", values)
        self._damaged = damaged

    def text(self, key: str) -> str:
        """Return a text that can be written down.

        Raises:
            RbeeError: it is missing or something else.
        """
        value = self._values.get(key)
        if not isinstance(value, str) or _has_half_a_character(value):
            raise self._damaged(f"`{key}` is not a text")
        return value

    def count(self, key: str, *, at_most: int = COUNT_MAX) -> int:
        """Return a whole number, 0 or more.

        Raises:
            RbeeError: it is missing, too large or something else.
        """
        value = self._values.get(key)
        if not isinstance(value, int) or isinstance(value, bool) or value < 0:
            raise self._damaged(f"`{key}` is not a count")
        if value > at_most:
            raise self._damaged(f"`{key}` is more than {at_most}")
        return value

    def is_true(self, key: str) -> bool:
        """Return whether the value is there and not empty, 0 or false."""
        return bool(self._values.get(key))

    def is_value(self, key: str, value: object) -> bool:
        """Return whether that is the value."""
        return self._values.get(key) == value

    def inner(self, key: str) -> "Fields":
        """Return a mapping within this one.

        Raises:
            RbeeError: it is missing or something else.
        """
        return Fields(self._values.get(key), lambda why: self._damaged(f"`{key}`: {why}"))

    def each(self, key: str) -> list["Fields"]:
        """Return a list of mappings.

        Raises:
            RbeeError: it is missing or something else.
        """
        values = self._values.get(key)
        if not isinstance(values, list):
            raise self._damaged(f"`{key}` is not a list")
        items = cast("list[object]", values)
        return [Fields(each, lambda why: self._damaged(f"`{key}`: {why}")) for each in items]


def _has_half_a_character(text: str) -> bool:
    # JSON can write the one half of a surrogate pair, and then no file or message takes it
    return any("\ud800" <= each <= "\udfff" for each in text)
