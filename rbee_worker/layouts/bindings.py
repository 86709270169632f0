"""Bindings of rows of the KV cache, those used last: building one takes a part of a step's time."""

from collections.abc import Callable
from functools import lru_cache, partial
from typing import Any

from rbee_worker.layouts.buffers import Caches

BINDINGS_KEPT_MAX = 64  # of 16 rows there are 136 stretches; a third of a millisecond each


class Bound:
    """A binding whose caches are bound; `form` is what the rest of it is bound for."""

    __slots__ = ("binding", "form")

    def __init__(self, binding: Any) -> None:
        self.binding = binding
        self.form: tuple[int, ...] = ()


class Bindings:
    """One binding for each stretch of rows, those that were used last."""

    def __init__(self, new_binding: Callable[[], Any], caches: Caches) -> None:
        self._made = lru_cache(maxsize=BINDINGS_KEPT_MAX)(partial(_made, new_binding, caches))

    def of(self, first: int, count: int) -> Bound:
        """Return the binding of `count` rows from `first` on."""
        return self._made(first, count)

    def forget(self) -> None:
        """Drop them all: what they point at is gone."""
        self._made.cache_clear()


def _made(new_binding: Callable[[], Any], caches: Caches, first: int, count: int) -> Bound:
    bound = Bound(new_binding())
    caches.bind(bound.binding, first, count)
    return bound
