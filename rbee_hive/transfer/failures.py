"""Why bytes could not be had, as people are told. Pure."""

from rbee_shared.errors import (
    DataLossError,
    FailedPreconditionError,
    NotFoundError,
    PermissionDeniedError,
    RbeeError,
    ResourceExhaustedError,
    UnauthenticatedError,
    UnavailableError,
)

LOGIN_HINT = "set HF_TOKEN, or `hf auth login`, with a token that may read it"


def not_found(path: str) -> RbeeError:
    """Return the error of a file that the source does not have."""
    return NotFoundError(
        f"the source has no `{path}`",
        reason="MODEL_SOURCE_NOT_FOUND",
        hint="look at the name and the revision; what is private is not found without a token",
    )


def unauthorized(path: str) -> RbeeError:
    """Return the error of a source that does not know who asks, or does not let them."""
    return UnauthenticatedError(
        f"the source does not give `{path}` to you", reason="SOURCE_UNAUTHORIZED", hint=LOGIN_HINT
    )


def gated(path: str, page: str) -> RbeeError:
    """Return the error of a source whose terms must be accepted first."""
    return PermissionDeniedError(
        f"`{path}` is given only to those who accepted its terms",
        reason="SOURCE_GATED",
        hint=f"accept them at {page}, then {LOGIN_HINT}",
    )


def rate_limited(path: str) -> RbeeError:
    """Return the error of a source that wants fewer requests."""
    return ResourceExhaustedError(
        f"the source wants fewer requests; `{path}` is not here yet",
        reason="SOURCE_RATE_LIMITED",
        hint=f"try again later; what came is kept. {LOGIN_HINT}: it allows for more",
    )


def unreachable(path: str, why: str) -> RbeeError:
    """Return the error of a source that does not answer, or stopped to."""
    return UnavailableError(
        f"`{path}` cannot be fetched: {why}",
        reason="SOURCE_UNREACHABLE",
        hint="try again: what came is kept, and fetched no second time",
    )


def refused(path: str, status: int) -> RbeeError:
    """Return the error of an answer that no retry makes better."""
    return FailedPreconditionError(
        f"the source answers {status} for `{path}`", reason="SOURCE_REFUSED"
    )


def misled(path: str, why: str) -> RbeeError:
    """Return the error of redirects that are not followed."""
    return FailedPreconditionError(
        f"the source of `{path}` {why}",
        reason="SOURCE_REDIRECTS",
        hint="something between here and the source may be at fault, like a proxy or a login page",
    )


def other_length(path: str, size_bytes: int, told_bytes: int) -> RbeeError:
    """Return the error of a source that has changed since it was asked."""
    return DataLossError(
        f"`{path}` has {told_bytes} bytes at the source, not {size_bytes}",
        reason="LENGTH_MISMATCH",
        hint="the source has changed, or something answers in its place; pull again",
    )


def other_hash(path: str, *, wanted: str, found: str) -> RbeeError:
    """Return the error of bytes that are not what was asked for, twice."""
    return DataLossError(
        f"the hash of `{path}` is `{found}`, not `{wanted}`",
        reason="HASH_MISMATCH",
        hint="pull again; if it stays so, the source or the way to it is not to be trusted",
    )
