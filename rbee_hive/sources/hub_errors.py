"""What it means when the hub says no, and what to do about it. Pure.

The library's own messages have addresses and request ids in them, and what a remote said: none of
it is passed on. A repository that is private looks like one that does not exist, since the hub
tells strangers of neither.
"""

from urllib.parse import urlsplit

from httpx2 import HTTPError, ProxyError, TimeoutException
from huggingface_hub.errors import (
    DisabledRepoError,
    GatedRepoError,
    HfHubHTTPError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from rbee_shared.errors import (
    DataLossError,
    FailedPreconditionError,
    NotFoundError,
    PermissionDeniedError,
    RbeeError,
    UnauthenticatedError,
    UnavailableError,
)

LOGIN = "`hf auth login` on the hive's machine, or HF_TOKEN for the process that runs the hive"
UNAUTHORIZED, RATE_LIMITED, SERVER_ERROR = 401, 429, 500


class SourceDamagedError(DataLossError):
    """What the hub says of a repository cannot be understood."""

    reason = "SOURCE_DAMAGED"
    hint = "pull again later; if HF_ENDPOINT names a mirror, try without it"

    def __init__(self, repo: str, why: str) -> None:
        super().__init__(f"what the hub says of `{repo}` is damaged: {why}")


class TokenRefusedError(UnauthenticatedError):
    """The token for the hub is none, or is not taken any more."""

    reason = "SOURCE_UNAUTHORIZED"
    hint = f"take another one: {LOGIN}"

    def __init__(self, host: str, why: str = "is not taken") -> None:
        super().__init__(f"the token for `{host}` {why}")


class EndpointMalformedError(FailedPreconditionError):
    """What HF_ENDPOINT says is not the address of a hub."""

    reason = "ENDPOINT_MALFORMED"
    hint = "HF_ENDPOINT is an address such as `https://huggingface.co`"

    def __init__(self) -> None:
        super().__init__("HF_ENDPOINT is not an address that begins with `https://` or `http://`")


def host_of(endpoint: str) -> str:
    """Return the host of a hub, and its port if it says one; never a password.

    Raises:
        EndpointMalformedError: it is not the address of one.
    """
    try:
        address = urlsplit(endpoint)
        host, port = address.hostname, address.port
    except ValueError:
        host, port = None, None
    if not host or not endpoint.startswith(("https://", "http://")):
        raise EndpointMalformedError
    return f"{host}:{port}" if port else host


def explain(
    error: HTTPError | OfflineModeIsEnabled,
    *,
    repo: str,
    revision: str,
    endpoint: str,
    has_token: bool,
) -> RbeeError:
    """Return what an error of a question about a repository means.

    Args:
        error: what the library raised.
        repo: the repository.
        revision: what of it was asked for; empty: the newest.
        endpoint: where.
        has_token: whether a token was shown.
    """
    host = host_of(endpoint)
    match error:
        case OfflineModeIsEnabled():
            return FailedPreconditionError(
                f"the hub is not asked for `{repo}`: HF_HUB_OFFLINE is set",
                reason="SOURCE_OFFLINE",
                hint="start what runs the hive without it, or `rbee model import` a copy",
            )
        case GatedRepoError():
            return gated(repo, endpoint=endpoint, has_token=has_token)
        case RepositoryNotFoundError():
            return _not_found(repo, host, has_token=has_token)
        case RevisionNotFoundError():
            return _no_revision(repo, revision)
        case HfHubHTTPError():
            return _refused(error, repo, host)
        case _:
            return _unreachable(error, host)


def gated(repo: str, *, endpoint: str, has_token: bool) -> PermissionDeniedError:
    """Return the error for a repository whose terms have to be accepted first."""
    page = f"{endpoint.rstrip('/')}/{repo}" if "@" not in endpoint else f"the page of `{repo}`"
    then = "" if has_token else f", then {LOGIN}"
    return PermissionDeniedError(
        f"`{repo}` is gated: who wants it has to accept its terms",
        reason="SOURCE_GATED",
        hint=f"accept them at {page}{then}",
    )


def _not_found(repo: str, host: str, *, has_token: bool) -> NotFoundError:
    if has_token:
        private = "if it is private, the token of the hive must be of somebody who may read it"
    else:
        private = f"if it is private: {LOGIN}"
    return NotFoundError(
        f"`{host}` has no model `{repo}`",
        reason="MODEL_SOURCE_NOT_FOUND",
        hint=f"check its name; {private}",
    )


def _no_revision(repo: str, revision: str) -> NotFoundError:
    return NotFoundError(
        f"`{repo}` has no revision `{revision or 'main'}`",
        reason="REVISION_NOT_FOUND",
        hint="a revision is a branch, a tag or a whole commit; leave it out for the newest",
    )


def _refused(error: HfHubHTTPError, repo: str, host: str) -> RbeeError:
    status = error.response.status_code
    if isinstance(error, DisabledRepoError):
        return PermissionDeniedError(
            f"`{repo}` was disabled on `{host}`",
            reason="SOURCE_DISABLED",
            hint="look for the model in another repository",
        )
    if status == UNAUTHORIZED:
        return TokenRefusedError(host)
    if status == RATE_LIMITED:
        return UnavailableError(
            f"`{host}` was asked too often",
            reason="SOURCE_RATE_LIMITED",
            hint=f"wait some minutes; who is known may ask more often: {LOGIN}",
        )
    if status >= SERVER_ERROR:
        return UnavailableError(
            f"`{host}` has a fault of its own: it answers {status}",
            reason="SOURCE_UNAVAILABLE",
            hint="pull again later",
        )
    return PermissionDeniedError(
        f"`{host}` does not tell of `{repo}`: it answers {status}",
        reason="SOURCE_REFUSED",
        hint="a token may lack the permission to read; `hf auth whoami` shows whose it is",
    )


def _unreachable(error: Exception, host: str) -> UnavailableError:
    why = "cannot be reached"
    hint = "check the network of the hive's machine; HTTPS_PROXY and HF_ENDPOINT lead elsewhere"
    if isinstance(error, TimeoutException):
        why = "does not answer in time"
    elif isinstance(error, ProxyError):
        why = "cannot be reached through the proxy"
        hint = "check HTTPS_PROXY of the process that runs the hive"
    return UnavailableError(f"`{host}` {why}", reason="SOURCE_UNREACHABLE", hint=hint)
