"""Which files of a repository are fetched: of many variants one, with all that it needs. Pure.

What rbee converted is first: nothing is left to do. Then a GGUF file, since rbee makes the graph of
it: requests are batched and share their caches, and its 8 bits lose less than the 4 bits that ready
graphs for CPUs mostly have. Then the folders of ONNX Runtime GenAI, whose graphs can batch too. The
graphs of transformers.js are last: many of them lack the attention that can be batched, and run in
a slower way that serves one request at a time.
"""

import difflib
from collections.abc import Sequence

from rbee_hive.sources import genai_folders, gguf_files, own_folders, transformers_graphs
from rbee_hive.sources.choice import (
    Candidate,
    Choice,
    ChoiceAmbiguousError,
    ChoiceNotFoundError,
    FormatUnknownError,
    Layout,
    ModelSplitError,
    Option,
    told,
    told_there,
)
from rbee_hive.sources.listing import LISTED_FILES_MAX, Listing
from rbee_shared.errors import InvalidArgumentError
from rbee_shared.references.kinds import HubReference
from rbee_shared.references.safe_path import check_distinct, inside, is_safe

CHOSEN_FILES_MAX = 1_000
LAYOUTS = (Layout.RBEE, Layout.GGUF, Layout.GENAI, Layout.TRANSFORMERS)
FORMATS = "rbee reads GGUF files, and ONNX in the layouts of GenAI and transformers.js"
_OWN = {Layout.RBEE: (own_folders.DESCRIPTION,)}
_UNREADABLE = (".safetensors", ".bin", ".pt", ".pth", ".h5", ".msgpack", ".tflite", ".mlmodel")


class TooManyFilesError(InvalidArgumentError):
    """A repository has more files than any model."""

    reason = "MODEL_FILES_TOO_MANY"
    hint = "name one file with `:path`, or another repository"


class WeightsUnsupportedError(InvalidArgumentError):
    """Nothing is converted, so nothing can be said about how."""

    reason = "WEIGHTS_UNSUPPORTED"


def choose(listing: Listing, reference: HubReference) -> Choice:
    """Return what to fetch of a repository for a reference.

    Raises:
        ChoiceNotFoundError: the file or quantisation that it names is not there.
        ChoiceAmbiguousError: several files are meant alike.
        ModelSplitError: what it means is in several GGUF files.
        FormatUnknownError: rbee cannot read what it means, or anything in the repository.
        WeightsUnsupportedError: it says how to convert what is not converted.
        HostileNameError: a file to fetch has a name that is not safe to have.
        TooManyFilesError: there are more files than any model has.
    """
    if len(listing.files) > LISTED_FILES_MAX:
        raise TooManyFilesError(f"`{listing.repo}` has more than {LISTED_FILES_MAX} files")
    found = _options(listing, reference)
    meant = _meant(found, listing, reference)
    usable = [each for each in meant if each.is_usable]
    if not usable:
        raise _unusable(meant, found)
    best = _best(usable, listing)
    _check(best)
    return Choice(
        best.layout,
        best.main.path,
        best.quantization,
        best.files,
        tuple(_candidate(each) for each in _shown(best, found)),
    )


def _options(listing: Listing, reference: HubReference) -> list[Option]:
    found = [
        *own_folders.options(listing),
        *gguf_files.options(listing, reference.weights),
        *genai_folders.options(listing),
        *transformers_graphs.options(listing),
    ]
    if not any(each.is_offered or reference.file for each in found):
        raise _unreadable(listing)
    return sorted(found, key=_preference)


def _preference(option: Option) -> tuple[int, tuple[int, ...], int, str]:
    path = option.main.path
    return LAYOUTS.index(option.layout), option.rank, len(path), path


def _meant(found: Sequence[Option], listing: Listing, reference: HubReference) -> list[Option]:
    offered = [each for each in found if each.is_offered]
    meant = offered
    if reference.file:
        meant = _of_file(found, offered, listing, reference.file)
    elif reference.quantization:
        meant = _of_quantization(offered, listing, reference.quantization)
    if not reference.weights:
        return meant
    converted = [each for each in meant if each.layout is Layout.GGUF]
    if not converted:
        raise WeightsUnsupportedError(
            f"`{meant[0].main.path}` is ONNX already, and `{reference.weights}` is for converting",
            hint="leave the weights out, or name a GGUF file",
        )
    return converted


def _of_file(
    found: Sequence[Option], offered: Sequence[Option], listing: Listing, file: str
) -> list[Option]:
    if named := [each for each in found if _answers_to(each, file)]:
        return named
    folder = file.rstrip("/")
    if within := [each for each in offered if f"{each.main.folder}/".startswith(f"{folder}/")]:
        return within
    if folder in listing.by_path():
        raise FormatUnknownError(f"`{folder}` of `{listing.repo}` is no model", hint=FORMATS)
    paths = [each.main.path for each in offered if is_safe(each.main.path)]
    near = difflib.get_close_matches(file, paths, 1)
    raise ChoiceNotFoundError(
        f"`{listing.repo}` has no model `{file}`",
        hint=f"did you mean `{near[0]}`?" if near else told_there(paths),
    )


def _answers_to(option: Option, file: str) -> bool:
    if option.layout in {Layout.GENAI, Layout.RBEE} and file.endswith(transformers_graphs.SUFFIX):
        return any(each.file.path == file for each in option.files)
    return option.main.path == file


def _of_quantization(offered: Sequence[Option], listing: Listing, word: str) -> list[Option]:
    if named := [each for each in offered if word in each.names]:
        return named
    there = [each.quantization for each in offered if each.quantization and each.is_usable]
    raise ChoiceNotFoundError(
        f"`{listing.repo}` has no `{word}`",
        hint=told_there(there) or "its files do not say how they are quantised",
    )


def _best(usable: Sequence[Option], listing: Listing) -> Option:
    best = usable[0]
    alike = [each.main.path for each in usable if _preference(each)[:3] == _preference(best)[:3]]
    if len(alike) > 1:
        raise ChoiceAmbiguousError(
            f"`{listing.repo}` has {len(alike)} files that are meant alike",
            hint=f"say which, with `:path`: {told(filter(is_safe, alike))}",
        )
    return best


def _check(best: Option) -> None:
    if len(best.files) > CHOSEN_FILES_MAX:
        raise TooManyFilesError(f"`{best.main.folder}` has more than {CHOSEN_FILES_MAX} files")
    for each in best.files:
        inside(each.file.path, own=_OWN.get(best.layout, ()))
    check_distinct(each.file.path for each in best.files)


def _shown(best: Option, found: Sequence[Option]) -> list[Option]:
    others = [each for each in found if each is not best and is_safe(each.main.path)]
    return [best, *(each for each in others if each.is_offered)]


def _candidate(option: Option) -> Candidate:
    reason = option.reason if not option.lacks else f"lacks {told(option.lacks)}"
    return Candidate(option.main.path, option.size_bytes, option.quantization, reason)


def _unusable(meant: Sequence[Option], found: Sequence[Option]) -> InvalidArgumentError:
    first = meant[0]
    others = [
        each.quantization or each.main.path for each in found if each.is_usable and each.is_offered
    ]
    there = told_there(others)
    inside(first.main.path)
    if first.parts > 1:
        return ModelSplitError(
            f"`{first.main.path}` is one of {first.parts} parts, and rbee reads models of one file",
            hint=there or "join them with `llama-gguf-split --merge`, and name it `file:/path`",
        )
    return FormatUnknownError(
        f"there is no {told(first.lacks)} beside `{first.main.folder or first.main.path}`",
        hint=there or FORMATS,
    )


def _unreadable(listing: Listing) -> FormatUnknownError:
    names = [each.name.lower() for each in listing.files]
    kinds = [suffix for suffix in _UNREADABLE if any(name.endswith(suffix) for name in names)]
    has = f"; it has {told(kinds)}" if kinds else ""
    hint = "look for a repository of that name with `-GGUF`, or one with an `onnx` folder"
    return FormatUnknownError(
        f"`{listing.repo}` has no model that rbee can read{has}",
        hint=f"{FORMATS}; {hint}" if kinds else FORMATS,
    )
