"""Bindings are kept as long as they are used, and not more of them than are allowed."""

import gc
import weakref

from rbee_worker.layouts.bindings import BINDINGS_KEPT_MAX, Bindings


class Binding:
    """Stands for ONNX Runtime's, which cannot be watched."""


class Nowhere:
    """Caches that are bound nowhere."""

    def bind(self, binding: object, first: int, count: int) -> None:
        assert isinstance(binding, Binding)
        assert first >= 0 < count

    def copy(self, source: int, target: int, length: int) -> None: ...

    def swap(self, one: int, other: int, length: int) -> None: ...


def test_a_binding_is_built_once() -> None:
    bindings = Bindings(Binding, Nowhere())
    assert bindings.of(2, 3) is bindings.of(2, 3)
    assert bindings.of(2, 3) is not bindings.of(2, 4)


def test_those_used_last_are_kept() -> None:
    made: list[weakref.ref[Binding]] = []

    def new_binding() -> Binding:
        binding = Binding()
        made.append(weakref.ref(binding))
        return binding

    bindings = Bindings(new_binding, Nowhere())
    used = bindings.of(0, 1)
    for first in range(3 * BINDINGS_KEPT_MAX):
        bindings.of(first, 2)
        assert bindings.of(0, 1) is used
    gc.collect()
    assert sum(each() is not None for each in made) == BINDINGS_KEPT_MAX
    bindings.forget()
    assert bindings.of(0, 1) is not used
