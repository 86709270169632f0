"""Every kind of error a user can meet, and the errors that more than one process raises.

    RbeeError                    INTERNAL: our fault
    ├── InvalidArgumentError     the request is wrong whatever the state of the system
    ├── NotFoundError            the named thing does not exist
    ├── AlreadyExistsError       the name or id is taken
    ├── FailedPreconditionError  the thing exists but is in the wrong state for this
    ├── ResourceExhaustedError   there is no room for this now
    ├── UnavailableError         the peer cannot be reached; later may work
    ├── DeadlineExceededError    the time given is over
    ├── UnauthenticatedError     who calls is not known
    ├── PermissionDeniedError    who calls may not do this
    ├── DataLossError            what is stored is damaged
    ├── UnimplementedError       this version cannot do it
    └── JobCancelledError        somebody asked for the work to stop

A kind is one of the canonical codes of google.rpc.Code, which gRPC, job errors and child processes
all carry as a number. gRPC itself is not named here.
"""

from collections.abc import Iterator
from typing import cast


class RbeeError(Exception):
    """Base of all. The message says what is wrong; `reason` is stable; `hint` says what to do."""

    code: int = 13
    reason: str = "INTERNAL"
    hint: str = ""

    def __init__(self, message: str, *, reason: str = "", hint: str = "") -> None:
        super().__init__(message)
        if reason:
            self.reason = reason
        if hint:
            self.hint = hint


def kind_of(code: int) -> type[RbeeError]:
    """Return the kind with that canonical code; RbeeError itself for an unknown one."""
    return next((kind for kind in RbeeError.__subclasses__() if kind.code == code), RbeeError)


def rebuild(code: int, reason: str, message: str, hint: str) -> RbeeError:
    """Return the error that another process meant, as its kind with its own reason and hint."""
    return kind_of(code)(message, reason=reason, hint=hint)


def known(error: Exception) -> RbeeError | None:
    """Return the RbeeError that `error` is or, as a group, holds first; None for a bug.

    A TaskGroup wraps whatever ends it, its own body's error included.
    """
    return next(_leaves(error), None)


def _leaves(error: Exception) -> Iterator[RbeeError]:
    if isinstance(error, RbeeError):
        yield error
    elif isinstance(error, ExceptionGroup):
        for each in cast("ExceptionGroup[Exception]", error).exceptions:
            yield from _leaves(each)


class InvalidArgumentError(RbeeError):
    """The request is wrong whatever the state of the system."""

    code = 3
    reason = "INVALID_ARGUMENT"


class NotFoundError(RbeeError):
    """The named thing does not exist."""

    code = 5
    reason = "NOT_FOUND"


class AlreadyExistsError(RbeeError):
    """The name or id is taken."""

    code = 6
    reason = "ALREADY_EXISTS"


class FailedPreconditionError(RbeeError):
    """The thing exists but is in the wrong state for this."""

    code = 9
    reason = "FAILED_PRECONDITION"


class ResourceExhaustedError(RbeeError):
    """There is no room for this now."""

    code = 8
    reason = "RESOURCE_EXHAUSTED"


class UnavailableError(RbeeError):
    """The peer cannot be reached; trying again later may work."""

    code = 14
    reason = "UNAVAILABLE"


class DeadlineExceededError(RbeeError):
    """The time given is over."""

    code = 4
    reason = "DEADLINE_EXCEEDED"
    hint = "give it more time with `--timeout`"


class UnauthenticatedError(RbeeError):
    """Who calls is not known."""

    code = 16
    reason = "UNAUTHENTICATED"


class PermissionDeniedError(RbeeError):
    """Who calls may not do this."""

    code = 7
    reason = "PERMISSION_DENIED"


class DataLossError(RbeeError):
    """What is stored is damaged."""

    code = 15
    reason = "DATA_LOSS"


class UnimplementedError(RbeeError):
    """This version of rbee cannot do it."""

    code = 12
    reason = "UNIMPLEMENTED"
    hint = "`rbee version` shows the versions; a newer one may know how"


class JobCancelledError(RbeeError):
    """Somebody asked for the work to stop."""

    code = 1
    reason = "CANCELLED"


class JobNotFoundError(NotFoundError):
    """No job has the given id, or it ended longer ago than jobs are kept."""

    reason = "JOB_NOT_FOUND"
    hint = "`rbee job list` shows the jobs that are known"

    def __init__(self, job_id: str) -> None:
        super().__init__(f"no job `{job_id}`")


class JobIdTakenError(AlreadyExistsError):
    """A job with this id does something else."""

    reason = "JOB_ID_TAKEN"
    hint = "leave the id out: the queen makes a new one"

    def __init__(self, job_id: str) -> None:
        super().__init__(f"job `{job_id}` exists and does something else")


class HiveNotFoundError(NotFoundError):
    """No hive has the given name."""

    reason = "HIVE_NOT_FOUND"
    hint = "`rbee hive list` shows the hives that are known"

    def __init__(self, name: str) -> None:
        super().__init__(f"no hive named `{name}`")


class WorkerNotFoundError(NotFoundError):
    """No worker has the given id."""

    reason = "WORKER_NOT_FOUND"
    hint = "`rbee worker list` shows the workers that run"

    def __init__(self, worker_id: str) -> None:
        super().__init__(f"no worker `{worker_id}`")


class ModelNotFoundError(NotFoundError):
    """The model is not on this hive."""

    reason = "MODEL_NOT_FOUND"
    hint = "`rbee model list` shows the models that are here; `rbee model pull` fetches one"

    def __init__(self, model: str) -> None:
        super().__init__(f"no model `{model}` on this hive")


class DeviceNotFoundError(NotFoundError):
    """The hive has no such device."""

    reason = "DEVICE_NOT_FOUND"
    hint = "`rbee device list` shows what is there; rbee never falls back to another device"

    def __init__(self, device: str, hive: str) -> None:
        super().__init__(f"hive `{hive}` has no device `{device}`")
