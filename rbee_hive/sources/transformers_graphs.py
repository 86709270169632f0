"""The ONNX graphs of a repository in the layout of transformers.js, best first, and why. Pure.

One folder has the same graph in many quantisations. That of 8 bits is first: little is lost, CPUs
compute with it, and it is a quarter of the whole. Graphs of 16 bits are last, since CPUs turn each
weight into 32 bits before they use it.
"""

from collections.abc import Iterator, Mapping

from rbee_hive.sources.choice import ChosenFile, Layout, Option
from rbee_hive.sources.listing import ListedFile, Listing
from rbee_shared.references.quantization import BASE, GRAPH_ORDER, gguf_kind, graph_kind

SUFFIX = ".onnx"
FOLDER = "onnx"
STEMS = ("model", "decoder_model_merged")
NEEDED = ("config.json", "tokenizer.json")
WANTED = (
    *NEEDED,
    "generation_config.json",
    "tokenizer_config.json",
    "chat_template.jinja",
    "chat_template.json",
    "special_tokens_map.json",
    "added_tokens.json",
)
PLACES = tuple((folder, stem) for stem in STEMS for folder in (FOLDER, ""))
_WHY = {
    "q8": "8 bits: little is lost, and CPUs compute with it",
    "int8": "8 bits: little is lost, and CPUs compute with it",
    "uint8": "8 bits: little is lost, and CPUs compute with it",
    "q4": "4 bits: has lost more than 8 would",
    BASE: "32 bits: nothing is lost, and it is four times as large as 8",
    "bnb4": "4 bits: has lost more than 8 would, and is slow on CPUs",
    "fp16": "16 bits: slow on CPUs",
    "q4f16": "4 bits beside 16: has lost more than 8 would, and is slow on CPUs",
}
_WHY_OTHER = "a quantisation that rbee has no order for"
_WHY_NO_MODEL = "not the graph of a whole model by its name"


def options(listing: Listing) -> Iterator[Option]:
    """Yield the graphs of a repository as options; those of other names only answer to theirs."""
    paths = listing.by_path()
    lacks = tuple(each for each in NEEDED if each not in paths)
    beside = [ChosenFile(paths[each], _beside(each)) for each in WANTED if each in paths]
    beside += [ChosenFile(each, "the licence") for each in listing.licences()]
    for file in listing.files:
        if file.name.lower().endswith(SUFFIX):
            yield _option(file, paths, tuple(beside), lacks)


def _option(
    file: ListedFile,
    paths: Mapping[str, ListedFile],
    beside: tuple[ChosenFile, ...],
    lacks: tuple[str, ...],
) -> Option:
    place, kind = _read(file)
    is_offered = place < len(PLACES)
    reason = _WHY.get(kind, _WHY_OTHER) if is_offered else _WHY_NO_MODEL
    weights = [ChosenFile(each, "the graph's weights") for each in _data_of(file, paths)]
    order = GRAPH_ORDER.index(kind) if kind in GRAPH_ORDER else len(GRAPH_ORDER)
    return Option(
        Layout.TRANSFORMERS,
        file,
        (ChosenFile(file, reason), *weights, *beside),
        rank=(place, order),
        reason=reason,
        quantization=kind,
        names=frozenset({kind, gguf_kind(kind)} if kind in {"fp16", BASE} else {kind}),
        is_offered=is_offered,
        lacks=lacks,
    )


def _read(file: ListedFile) -> tuple[int, str]:
    stem = file.name[: -len(SUFFIX)]
    for place, (folder, begin) in enumerate(PLACES):
        if file.folder == folder and (stem == begin or stem.startswith(f"{begin}_")):
            return place, graph_kind(stem[len(begin) + 1 :])
    return len(PLACES), ""


def _data_of(graph: ListedFile, paths: Mapping[str, ListedFile]) -> Iterator[ListedFile]:
    stem = graph.path[: -len(SUFFIX)]
    for path in (f"{graph.path}_data", f"{graph.path}.data", f"{stem}.data"):
        if path in paths:
            yield paths[path]
    number = 1
    while (path := f"{graph.path}_data_{number}") in paths:
        yield paths[path]
        number += 1


def _beside(name: str) -> str:
    return "the tokenizer" if "token" in name else "how the model is built and talked to"
