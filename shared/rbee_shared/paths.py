"""Where files live: four folders of the platform, or all under `RBEE_HOME`."""

import hashlib
import os
import stat
import tempfile
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from platformdirs import PlatformDirs

from rbee_shared.errors import FailedPreconditionError, InvalidArgumentError

SOCKET_PATH_LENGTH_MAX = 100  # the kernel takes 107 bytes; some platforms 103
PRIVATE, SHARED = 0o700, 0o755
LONGEST_SOCKET_NAME = "worker-w-000000.sock"


@dataclass(frozen=True, slots=True)
class Paths:
    """The folders of one user's rbee. They exist once `create` was called."""

    config: Path
    models: Path
    state: Path
    run: Path

    @property
    def logs(self) -> Path:
        """Where daemons write."""
        return self.state / "logs"

    @property
    def settings_file(self) -> Path:
        """The user's `config.toml`."""
        return self.config / "config.toml"

    @property
    def token_file(self) -> Path:
        """The owner's token for loopback TCP, readable by the owner alone."""
        return self.state / "token"

    @property
    def journal_file(self) -> Path:
        """The queen's journal."""
        return self.state / "journal.db"

    def socket(self, name: str) -> Path:
        """Return the unix socket of a process."""
        return self.run / f"{name}.sock"

    def lock(self, name: str) -> Path:
        """Return the lock file that a daemon holds while it lives."""
        return self.run / f"{name}.lock"

    def log_file(self, name: str) -> Path:
        """Return the file that a detached daemon writes to."""
        return self.logs / f"{name}.log"

    def create(self) -> "Paths":
        """Make the folders; those with sockets, tokens and logs are closed to other users.

        Raises:
            FailedPreconditionError: a folder cannot be made, or belongs to somebody else.
        """
        for folder, mode in (
            (self.config, PRIVATE),
            (self.models, SHARED),
            (self.state, PRIVATE),
            (self.logs, PRIVATE),
            (self.run, PRIVATE),
        ):
            _make(folder, mode)
        return self


def resolve(environment: Mapping[str, str] = os.environ) -> Paths:
    """Return the folders for this user, from `RBEE_HOME` or the platform's conventions.

    Raises:
        InvalidArgumentError: a variable names the home of a user that does not exist.
    """
    if home := environment.get("RBEE_HOME"):
        root = _folder(home, "RBEE_HOME")
        paths = Paths(root / "config", root / "models", root / "state", root / "run")
    else:
        folders = PlatformDirs("rbee", appauthor=False)
        paths = Paths(
            folders.user_config_path,
            folders.user_cache_path / "models",
            folders.user_state_path,
            _runtime_folder(folders),
        )
    models = environment.get("RBEE_MODELS")
    return Paths(
        paths.config,
        _folder(models, "RBEE_MODELS") if models else paths.models,
        paths.state,
        _short_enough(paths.run),
    )


def _short_enough(run: Path) -> Path:
    # a unix socket's path has a small limit in the kernel; a long home gets a short stand-in
    if len(os.fsencode(run / LONGEST_SOCKET_NAME)) <= SOCKET_PATH_LENGTH_MAX:
        return run
    return _stand_in(run)


def _runtime_folder(folders: PlatformDirs) -> Path:
    # where the platform has no folder for a session, it warns and takes one within the temporary
    # folder, which another user may have made first: then that could exchange what is in it
    try:
        with warnings.catch_warnings(action="ignore"):
            run = folders.user_runtime_path
    except PermissionError:
        run = Path(tempfile.gettempdir()) / "rbee"
    return _stand_in(run) if run.is_relative_to(tempfile.gettempdir()) else run


def _stand_in(run: Path) -> Path:
    digest = hashlib.sha256(os.fsencode(run)).hexdigest()[:12]
    return Path(tempfile.gettempdir()) / f"rbee-{os.getuid()}-{digest}"


def _folder(text: str, variable: str) -> Path:
    try:
        return Path(text).expanduser().absolute()
    except RuntimeError as error:
        raise InvalidArgumentError(
            f"`{variable}` is not a folder: there is no such user", reason="FOLDER_UNKNOWN"
        ) from error


def _make(folder: Path, mode: int) -> None:
    try:
        folder.mkdir(mode=mode, parents=True, exist_ok=True)
        found = folder.lstat()
        if not stat.S_ISDIR(found.st_mode) and not folder.is_dir():
            raise NotADirectoryError(folder)
        if mode == PRIVATE and found.st_uid != os.getuid():
            raise PermissionError(folder)
        if mode == PRIVATE and stat.S_IMODE(found.st_mode) != mode:
            folder.chmod(mode)
    except OSError as error:
        raise FailedPreconditionError(
            f"cannot use the folder `{folder}`: {error.strerror or 'it is not ours'}",
            reason="FOLDER_UNUSABLE",
            hint="`RBEE_HOME=DIR` puts everything under a folder of your choice",
        ) from error
