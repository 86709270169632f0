"""What an HTTP answer means for a range that was asked for: take it, wait, look again, or give up.

Pure. The codes that the hub gives in `X-Error-Code` tell apart what its statuses do not.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from urllib.parse import urljoin, urlsplit

from rbee_hive.transfer import failures
from rbee_hive.transfer.file import RemoteFile
from rbee_hive.transfer.policy import RETRY_AFTER_S_MAX
from rbee_shared.errors import RbeeError

_NUMBER = "([0-9]{1,19})"  # what a file can be long
_LENGTH = re.compile(_NUMBER)
_CONTENT_RANGE = re.compile(rf"bytes {_NUMBER}-{_NUMBER}/{_NUMBER}")
_TOTAL = re.compile(rf"bytes \*/{_NUMBER}")
_REDIRECTS = {301, 302, 303, 307, 308}
_LATER = {408, 425, 429}
_DENIED = {401, 403, 404}


@dataclass(frozen=True, slots=True)
class Take:
    """The body is the file from `begin` on; `is_whole` if it ends where the file does."""

    begin: int
    is_whole: bool = False


@dataclass(frozen=True, slots=True)
class Follow:
    """The bytes are somewhere else."""

    location: str


@dataclass(frozen=True, slots=True)
class Retry:
    """It may work later; `after_s` if the source said when. `error` if it never does."""

    error: RbeeError
    after_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Resolve:
    """The address is worth nothing any more: the source knows another."""

    error: RbeeError


@dataclass(frozen=True, slots=True)
class Fail:
    """No retry makes it better."""

    error: RbeeError


Verdict = Take | Follow | Retry | Resolve | Fail


def judge(
    file: RemoteFile,
    begin: int,
    status: int,
    headers: Mapping[str, str],
    *,
    is_source: bool,
    now: datetime,
) -> Verdict:
    """Return what to do with an answer.

    Args:
        file: what was asked for.
        begin: the first byte that was asked for.
        status: of the answer.
        headers: of the answer; names in lower case, or a mapping that does not care.
        is_source: whether the file's own origin answered, and not where it had redirected to.
        now: to read a `Retry-After` that is a date.
    """
    if status in _REDIRECTS:
        return Follow(headers.get("location", ""))
    if reading := _READINGS.get(status):
        return reading(file, begin, headers)
    if status in _LATER or status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return _later(file, status, headers, now)
    if status in _DENIED and not is_source:
        return Resolve(failures.unreachable(file.path, f"the address gave {status}"))
    return Fail(_denied(file, status, headers))


def retry_after_s(value: str, now: datetime) -> float:
    """Return the seconds that a `Retry-After` asks for, at most RETRY_AFTER_S_MAX; 0 for nonsense.

    Source: RFC 9110, 10.2.3.
    """
    if value.isascii() and value.isdigit():
        return min(float(value), RETRY_AFTER_S_MAX)
    try:
        wait_s = (parsedate_to_datetime(value) - now).total_seconds()
    except (ValueError, TypeError, OverflowError):
        return 0.0
    return min(max(wait_s, 0.0), RETRY_AFTER_S_MAX)


def page_of(url: str) -> str:
    """Return the page about what a file belongs to."""
    return url.partition("/resolve/")[0]


def length_of(headers: Mapping[str, str]) -> int | None:
    """Return how long a body is said to be; None if it is not said."""
    told = _LENGTH.fullmatch(headers.get("content-length", ""))
    return int(told[1]) if told else None


def target_of(file: RemoteFile, url: str, location: str) -> str:
    """Return where a redirect from `url` leads.

    Raises:
        FailedPreconditionError: it leads nowhere that is gone to.
    """
    try:
        target = urljoin(url, location)
        scheme, host, _ = origin_of(target)
    except ValueError as error:
        raise failures.misled(file.path, "redirects to what is no web address") from error
    if scheme not in ("http", "https") or not host:
        raise failures.misled(file.path, "redirects to what is no web address")
    if origin_of(url)[0] == "https" and scheme != "https":
        raise failures.misled(file.path, "redirects from https to http, which hides nothing")
    return target


def origin_of(url: str) -> tuple[str, str, int]:
    """Return scheme, host and port.

    Raises:
        ValueError: it is no URL.
    """
    parts = urlsplit(url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    return parts.scheme, (parts.hostname or "").lower(), port


def _ranged(file: RemoteFile, begin: int, headers: Mapping[str, str]) -> Verdict:
    told = _CONTENT_RANGE.fullmatch(headers.get("content-range", ""))
    if told is None or int(told[1]) != begin:
        return Retry(failures.unreachable(file.path, "another range came than was asked for"))
    if int(told[3]) != file.size_bytes:
        return Fail(failures.other_length(file.path, file.size_bytes, int(told[3])))
    return Take(begin)


def _whole(file: RemoteFile, _begin: int, headers: Mapping[str, str]) -> Verdict:
    told = length_of(headers)
    if told is not None and told != file.size_bytes:
        return Fail(failures.other_length(file.path, file.size_bytes, told))
    return Take(0, is_whole=True)


def _unranged(file: RemoteFile, _begin: int, headers: Mapping[str, str]) -> Verdict:
    told = _TOTAL.fullmatch(headers.get("content-range", ""))
    if told is not None and int(told[1]) != file.size_bytes:
        return Fail(failures.other_length(file.path, file.size_bytes, int(told[1])))
    return Retry(failures.unreachable(file.path, "the range was refused"))


_READINGS: dict[int, Callable[[RemoteFile, int, Mapping[str, str]], Verdict]] = {
    HTTPStatus.PARTIAL_CONTENT: _ranged,
    HTTPStatus.OK: _whole,
    HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE: _unranged,
}


def _later(file: RemoteFile, status: int, headers: Mapping[str, str], now: datetime) -> Verdict:
    after_s = retry_after_s(headers.get("retry-after", ""), now)
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        return Retry(failures.rate_limited(file.path), after_s)
    return Retry(failures.unreachable(file.path, f"the source answers {status}"), after_s)


def _denied(file: RemoteFile, status: int, headers: Mapping[str, str]) -> RbeeError:
    if headers.get("x-error-code", "") == "GatedRepo":
        return failures.gated(file.path, page_of(file.url))
    if status == HTTPStatus.NOT_FOUND:
        return failures.not_found(file.path)
    if status in _DENIED:
        return failures.unauthorized(file.path)
    return failures.refused(file.path, status)
