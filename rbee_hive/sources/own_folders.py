"""Folders that rbee converted and somebody put into a repository. Pure."""

from collections.abc import Iterator

from rbee_hive.sources.choice import ChosenFile, Layout, Option
from rbee_hive.sources.listing import ListedFile, Listing

DESCRIPTION = "rbee.json"
GRAPH = "model.onnx"
NEEDED = (DESCRIPTION, GRAPH, "tokenizer.json")
_REASON = "converted by rbee already: nothing is left to do"


def options(listing: Listing) -> Iterator[Option]:
    """Yield the folders with `rbee.json` as options, that at the top first."""
    licences = [ChosenFile(each, "the licence") for each in listing.licences()]
    for folder, files in listing.by_folder().items():
        names = {each.name: each for each in files}
        if DESCRIPTION in names:
            yield Option(
                Layout.RBEE,
                names[DESCRIPTION],
                (
                    *(ChosenFile(each, "a part of the model") for each in files if _is_part(each)),
                    *licences,
                ),
                rank=(folder.count("/") + 1 if folder else 0,),
                reason=_REASON,
                lacks=tuple(each for each in NEEDED if each not in names),
            )


def _is_part(file: ListedFile) -> bool:
    return file.name in NEEDED or file.name.startswith((f"{GRAPH}.data", f"{GRAPH}_data"))
