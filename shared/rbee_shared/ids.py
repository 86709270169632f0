"""Names chosen by people and ids made by machines: how they look, how they are made."""

import re
import secrets

from rbee_shared.errors import InvalidArgumentError
from rbee_shared.limits import JOB_ID_LENGTH_MAX, NAME_LENGTH_MAX

LOCALHOST = "localhost"

_JOB_ID = re.compile(rf"[A-Za-z0-9][A-Za-z0-9_-]{{0,{JOB_ID_LENGTH_MAX - 1}}}")
_PORT = re.compile(r"[0-9]{1,5}")
_NAME = re.compile(rf"[A-Za-z0-9][A-Za-z0-9_-]{{0,{NAME_LENGTH_MAX - 1}}}")


def new_job_id() -> str:
    """Return a fresh job id, `j-` and 12 hexadecimal digits."""
    return f"j-{secrets.token_hex(6)}"


def new_worker_id() -> str:
    """Return a fresh worker id, `w-` and 6 hexadecimal digits."""
    return f"w-{secrets.token_hex(3)}"


def check_job_id(job_id: str) -> str:
    """Return `job_id` if it is well-formed.

    Raises:
        InvalidArgumentError: it is not.
    """
    if not _JOB_ID.fullmatch(job_id):
        raise InvalidArgumentError(
            "the job id is malformed",
            reason="JOB_ID_MALFORMED",
            hint=f"letters, digits, `-` and `_`, at most {JOB_ID_LENGTH_MAX}",
        )
    return job_id


def check_name(name: str, what: str) -> str:
    """Return `name` if it is well-formed; `what` says what it names.

    Raises:
        InvalidArgumentError: it is not.
    """
    if not _NAME.fullmatch(name):
        raise InvalidArgumentError(
            f"the name of the {what} is malformed",
            reason="NAME_MALFORMED",
            hint=f"letters, digits, `-` and `_`, at most {NAME_LENGTH_MAX}",
        )
    return name


def check_loopback(listen: str) -> str:
    """Return `listen` if it is `host:port` on this machine's loopback.

    Raises:
        InvalidArgumentError: it is not; nothing listens on a network without certificates.
    """
    host, _, port = listen.rpartition(":")
    if host not in ("127.0.0.1", "localhost", "[::1]") or not _PORT.fullmatch(port):
        raise InvalidArgumentError(
            f"`{listen}` is not an address on loopback",
            reason="ADDRESS_NOT_LOOPBACK",
            hint="`127.0.0.1:7833` is; port 0 takes a free one",
        )
    return listen
