"""The GGUF files of a repository, best first, and why. Pure.

rbee converts to 8 bits, so Q8_0 is the file to have: it is 8 bits already, nothing is lost on the
way, and a smaller one would take the same memory once it is converted. A file of fewer bits has
lost more and saves the download alone; one of 16 or 32 costs a larger download for what is rounded
anyway. Who asks for other weights has another order: what can be kept exactly, or floats.
"""

import re
from collections.abc import Iterator

from rbee_hive.sources.choice import ChosenFile, Layout, Option
from rbee_hive.sources.listing import ListedFile, Listing
from rbee_shared.references.quantization import (
    GGUF_FLOATS,
    GGUF_KEPT,
    GGUF_ORDER,
    graph_kind,
    kind_in_name,
)

SUFFIX = ".gguf"

_FIRST = {"exact": GGUF_KEPT, "f32": GGUF_FLOATS}
_WHY_FIRST = {"exact": "kept exactly as it is", "f32": "has most of what was trained"}
_PART = re.compile(r"-(\d{5})-of-(\d{5})\.gguf$", re.IGNORECASE)
_WORDS = re.compile(r"[^a-z0-9]+")
_NO_MODEL = {  # by a word of their names
    "mmproj": "sees images for another model",
    "imatrix": "was measured to make other files",
    "draft": "guesses ahead for another model",
    "vocab": "has words and no weights",
    "lora": "changes another model",
    "adapter": "changes another model",
}
_WHY = {
    "Q8_0": "8 bits, as rbee converts to: nothing is lost",
    "BF16": "16 bits, rounded to 8: downloads more for nothing",
    "F16": "16 bits, rounded to 8: downloads more for nothing",
    "F32": "32 bits, rounded to 8: downloads more for nothing",
}
_WHY_BITS = "{bits} bits: lossier than 8; saves the download alone"
_WHY_UNKNOWN = "its name does not say how it was quantised"


def options(listing: Listing, weights: str) -> Iterator[Option]:
    """Yield the GGUF files of a repository as options.

    Args:
        listing: the repository.
        weights: how the file will be converted.
    """
    order = tuple(dict.fromkeys((*_FIRST.get(weights, ()), *GGUF_ORDER)))
    for file in listing.files:
        if file.name.lower().endswith(SUFFIX):
            yield _option(file, order, weights)


def _option(file: ListedFile, order: tuple[str, ...], weights: str) -> Option:
    kind = kind_in_name(file.name) or kind_in_name(file.folder)
    part = _PART.search(file.name)
    parts = int(part[2]) if part else 1
    use = _use_of(file)
    reason = _why(kind, weights)
    if use:
        reason = f"no model of its own: it {use}"
    elif parts > 1:
        reason = f"one of {parts} parts, and rbee reads models of one file"
    return Option(
        Layout.GGUF,
        file,
        (ChosenFile(file, reason),),
        rank=_rank(kind, file, order),
        reason=reason,
        quantization=kind,
        names=frozenset({kind, graph_kind(kind)} if kind in {"F16", "F32"} else {kind}),
        is_offered=not use,
        parts=max(parts, 1),
    )


def _rank(kind: str, file: ListedFile, order: tuple[str, ...]) -> tuple[int, ...]:
    if kind in order:
        return (order.index(kind), 0)
    return (len(order), -file.size_bytes)


def _use_of(file: ListedFile) -> str:
    words = _WORDS.split(file.name.lower())
    return next((use for word, use in _NO_MODEL.items() if word in words), "")


def _why(kind: str, weights: str) -> str:
    if not kind:
        return _WHY_UNKNOWN
    if kind in _FIRST.get(weights, ()):
        return _WHY_FIRST[weights]
    if kind in _WHY:
        return _WHY[kind]
    digit = re.search(r"\d", kind)
    return _WHY_BITS.format(bits=digit[0] if digit else "fewer")
