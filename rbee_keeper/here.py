"""Files on this machine, as people type them, in the words that a hive understands.

A hive has a working folder of its own, so what is relative to the person's is made absolute here.
"""

import os
import re
from collections.abc import Callable
from pathlib import Path

from rbee_keeper.options import WEIGHTS
from rbee_shared.errors import InvalidArgumentError
from rbee_shared.ids import LOCALHOST

_PATH = re.compile(r"/|\.{1,2}(/|$)|~(/|$)")
_WEIGHTS = re.compile(rf"#({'|'.join(WEIGHTS)})$")
_SUFFIX = ".gguf"


class PathUnclearError(InvalidArgumentError):
    """A path is relative to a folder that was removed, or to the home of nobody."""

    reason = "PATH_UNCLEAR"
    hint = "give the whole path, from `/` on"


def named(model: str, hive: str) -> str:
    """Return what a person calls a model as a hive understands it.

    Raises:
        PathUnclearError: it is relative to a folder that is not there.
    """
    if not _is_here(hive):
        return model
    return as_reference(model, absolute=_absolute, is_file=_is_file)


def placed(path: str, hive: str) -> str:
    """Return the absolute path of a file; on another machine's hive it stays as it is.

    Raises:
        PathUnclearError: it is relative to a folder that is not there.
    """
    return _absolute(path) if _is_here(hive) else path


def as_reference(
    model: str, *, absolute: Callable[[str], str], is_file: Callable[[str], bool]
) -> str:
    """Return `file:` and the absolute path if this is a path, else what it was. Pure.

    A path begins with `/`, `./`, `../` or `~/`, or is the name of a GGUF file that is here. How it
    is converted, such as `#exact`, stays at the end.
    """
    match = _WEIGHTS.search(model)
    path, weights = (model[: match.start()], match[0]) if match else (model, "")
    if not _PATH.match(path) and not (path.lower().endswith(_SUFFIX) and is_file(path)):
        return model
    return f"file:{absolute(path)}{weights}"


def _is_here(hive: str) -> bool:
    return hive in ("", LOCALHOST)


def _absolute(path: str) -> str:
    try:
        # symbolic links stay: a name is what a person knows a model by
        return os.path.normpath(Path(path).expanduser().absolute())
    except (FileNotFoundError, RuntimeError) as error:
        raise PathUnclearError(f"`{path}` is relative to a folder that is not there") from error


def _is_file(path: str) -> bool:
    try:
        return Path(path).is_file()
    except OSError:  # a name too long, or a folder that is closed
        return False
