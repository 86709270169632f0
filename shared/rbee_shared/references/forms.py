"""The ways to write a reference in full, each read into its kind. Aliases are not known here. Pure.

hf:org/repo[@revision][:file-or-quantisation]     also without `hf:`, and as the hub's address
pypi:package==version[:path/in/wheel]
file:/path  file:~/path
"""

import re
from pathlib import Path
from urllib.parse import SplitResult, unquote, urlsplit

from rbee_shared.references.kinds import (
    WEIGHTS,
    FileReference,
    HubReference,
    PypiReference,
    Reference,
    ReferenceMalformedError,
    SourceUnsupportedError,
)
from rbee_shared.references.quantization import is_quantization, normalized
from rbee_shared.references.safe_path import HostileNameError, inside

REPO_PART_LENGTH_MAX = 96
REVISION_LENGTH_MAX = 128
MAIN = "main"  # the hub's name of the newest revision
HUB_HOSTS = ("huggingface.co", "www.huggingface.co", "hf.co")
FILE_SUFFIXES = (".gguf", ".onnx")

_PACKAGE = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?")
_VERSION = re.compile(r"[A-Za-z0-9][A-Za-z0-9.!+_-]*")
_MEMBER = re.compile(r"[A-Za-z0-9_.+@-]+(?:/[A-Za-z0-9_.+@-]+)*")
_REPO_PART = re.compile(r"\w(?:[\w.-]*\w)?", re.ASCII)
_REVISION = re.compile(r"\w[\w.+-]*(?:/\w[\w.+-]*)*", re.ASCII)
_COMMIT = re.compile(r"[0-9a-fA-F]{40}")
_PATH_LIKE = re.compile(r"[/~\\]|\.{1,2}[/\\]|[A-Za-z]:[/\\]")


def split_weights(text: str) -> tuple[str, str]:
    """Return the text without what it says about the weights, and that; empty if it says nothing.

    Raises:
        ReferenceMalformedError: what is behind the last `#` is no way to convert weights.
    """
    body, mark, word = text.rpartition("#")
    if not mark:
        return text, ""
    if word.lower() in WEIGHTS:
        return body, word.lower()
    if text.lower().startswith("file:") and not body.lower().endswith(FILE_SUFFIXES):
        return text, ""
    raise weights_unknown(word)


def weights_unknown(word: str) -> ReferenceMalformedError:
    """Return the error for a word that is no way to convert weights."""
    return ReferenceMalformedError(
        f"`{word}` is no way to convert weights", hint=f"there are {', '.join(WEIGHTS)}"
    )


def in_full(body: str, home: Path) -> Reference | None:
    """Return what a reference without its weights names; None if it is a plain word.

    Raises:
        ReferenceMalformedError: it is written wrongly.
        SourceUnsupportedError: it is an address that models are not taken from.
    """
    scheme, colon, rest = body.partition(":")
    match scheme.lower() if colon else "":
        case "hf" | "huggingface":
            return _hub(rest)
        case "http" | "https":
            return _address(body)
        case "pypi":
            return _pypi(rest)
        case "file":
            return _file(rest, home)
        case _:
            return _bare(body)


def file_or_quantization(part: str) -> tuple[str, str]:
    """Return the file and the quantisation that a word behind the repository means; one is empty.

    Raises:
        ReferenceMalformedError: it is neither.
    """
    if "/" in part or part.lower().endswith(FILE_SUFFIXES):
        return hub_file(part), ""
    return "", hub_quantization(part)


def hub_file(path: str) -> str:
    """Return a file or folder of a repository as references write it.

    Raises:
        ReferenceMalformedError: it does not stay inside of the repository.
    """
    plain = path.rstrip("/")
    try:
        inside(plain)
    except HostileNameError as error:
        raise ReferenceMalformedError(
            f"`{path}` is not a file of a repository",
            hint="write it as the repository lists it: `folder/model.gguf`",
        ) from error
    is_plain_file = "/" in plain or plain.lower().endswith(FILE_SUFFIXES)
    return plain if is_plain_file else f"{plain}/"


def hub_quantization(word: str) -> str:
    """Return a quantisation as references write it.

    Raises:
        ReferenceMalformedError: no quantisation is called like it.
    """
    if not is_quantization(word):
        raise ReferenceMalformedError(
            f"`{word}` is neither a quantisation nor a file",
            hint="a quantisation such as `Q8_0` or `q4`, a `.gguf` or `.onnx` file, or `folder/`",
        )
    return normalized(word)


def _bare(body: str) -> HubReference | None:
    if _PATH_LIKE.match(body):
        raise ReferenceMalformedError(
            f"`{body}` is a path and not a reference",
            hint="a file on the hive's machine is `file:/path` or `file:~/path`",
        )
    if body.lower().startswith(tuple(f"{host}/" for host in HUB_HOSTS)):
        return _address(f"https://{body}")
    if "/" in re.split("[:@]", body, maxsplit=1)[0]:
        return _hub(body)
    if "#" in body:
        raise ReferenceMalformedError(f"`{body}` says twice how it is converted")
    return None


def _hub(rest: str) -> HubReference:
    place, colon, part = rest.partition(":")
    repo, at, revision = place.partition("@")
    if (at and not revision) or (colon and not part):
        raise ReferenceMalformedError(f"`hf:{rest}` ends too early")
    file, quantization = file_or_quantization(part) if part else ("", "")
    return HubReference(_repo(repo), _revision(revision), file, quantization)


def _address(text: str) -> HubReference:
    address = _split(text)
    if address.netloc.lower() not in HUB_HOSTS:
        raise SourceUnsupportedError("of addresses, only those of huggingface.co are models")
    parts = address.path.strip("/").split("/")
    match parts:
        case [owner, name]:
            return _hub(f"{owner}/{name}")
        case [owner, name, "tree", revision]:
            file = ""
        case [owner, name, "tree", revision, *folder]:
            file = hub_file(unquote("/".join(folder)) + "/")
        case [owner, name, "blob" | "resolve" | "raw", revision, *path] if path:
            file = hub_file(unquote("/".join(path)))
        case _:
            raise ReferenceMalformedError(
                f"`{text}` is not the address of a model",
                hint="such as `https://huggingface.co/org/repo`",
            )
    return HubReference(_repo(f"{owner}/{name}"), _revision(unquote(revision)), file)


def _split(text: str) -> SplitResult:
    try:
        return urlsplit(text)
    except ValueError as error:
        raise ReferenceMalformedError(f"`{text}` is not an address") from error


def _repo(repo: str) -> str:
    owner, slash, name = repo.partition("/")
    if not slash or not all(map(_is_repo_part, (owner, name))):
        raise ReferenceMalformedError(
            f"`{repo}` is not a repository", hint="write it as the hub does: `org/repo`"
        )
    return repo


def _is_repo_part(part: str) -> bool:
    return (
        len(part) <= REPO_PART_LENGTH_MAX
        and bool(_REPO_PART.fullmatch(part))
        and ".." not in part
        and "--" not in part
        and not part.endswith(".git")
    )


def _revision(revision: str) -> str:
    if revision in {"", MAIN}:
        return ""
    if (
        len(revision) > REVISION_LENGTH_MAX
        or not _REVISION.fullmatch(revision)
        or ".." in revision
        or revision.endswith((".", ".lock"))
    ):
        raise ReferenceMalformedError(
            f"`{revision}` is not a revision", hint="a branch, a tag or a commit of the repository"
        )
    return revision.lower() if _COMMIT.fullmatch(revision) else revision


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
    if colon and not _is_member(member):
        raise ReferenceMalformedError(
            f"`{member}` is not a path inside a wheel",
            hint="write it as the wheel has it: `folder/model.gguf`",
        )
    return PypiReference(
        re.sub(r"[-_.]+", "-", package.strip()).lower(), version.strip().lower(), member
    )


def _is_member(member: str) -> bool:
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
