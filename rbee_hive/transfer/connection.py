"""One request for bytes: where they are, who may see the token, and what came before it broke."""

import time
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

import httpcore2
import httpx2

from rbee_hive.transfer import failures
from rbee_hive.transfer.answers import (
    Fail,
    Follow,
    Resolve,
    Retry,
    Take,
    Verdict,
    judge,
    length_of,
    origin_of,
    target_of,
)
from rbee_hive.transfer.file import RemoteFile
from rbee_hive.transfer.policy import REDIRECTS_MAX, Policy
from rbee_hive.transfer.spans import Span
from rbee_shared.errors import RbeeError
from rbee_shared.limits import MIB

USER_AGENT = "rbee"
DIRECT_READ_BYTES = MIB


class BrokenError(Exception):
    """A request came to nothing, or broke; it may be tried again."""

    def __init__(self, error: RbeeError, *, after_s: float = 0.0) -> None:
        super().__init__(str(error))
        self.error = error
        self.after_s = after_s


@dataclass(slots=True)
class Route:
    """How one file is asked for. `address` is where the source has sent us, while that holds."""

    file: RemoteFile
    headers: Mapping[str, str]
    address: str = ""


@dataclass(slots=True)
class Answer:
    """An answer with bytes; `take` says which."""

    take: Take
    response: httpx2.Response
    path: str
    policy: Policy

    async def chunks(self) -> AsyncGenerator[bytes]:
        """Yield them as they come.

        Once a chunk has come, HTTP holds nothing back: what follows on the connection are the bytes
        alone. A long body that comes fast is read there, at a third of what reading through HTTP
        costs; the connection cannot be used again then.

        Raises:
            BrokenError: the stream broke.
        """
        length = left = length_of(self.response.headers) or 0
        began_s = time.monotonic()
        try:
            async with aclosing(self.response.aiter_raw()) as through_http:
                async for chunk in through_http:
                    yield chunk
                    left -= len(chunk)
                    if self._is_better_direct(length, left, time.monotonic() - began_s):
                        break
                else:
                    return
                async with aclosing(self._directly(left)) as direct:
                    async for chunk in direct:
                        yield chunk
        except (httpx2.TransportError, httpcore2.NetworkError, httpcore2.TimeoutException) as error:
            raise BrokenError(failures.unreachable(self.path, _told(error))) from error

    def _is_better_direct(self, length: int, left: int, passed_s: float) -> bool:
        policy = self.policy
        is_known = length - left >= policy.direct_look_bytes and left >= policy.direct_bytes_min
        return is_known and length - left >= passed_s * policy.direct_bytes_per_s_min

    async def _directly(self, left: int) -> AsyncGenerator[bytes]:
        stream: httpcore2.AsyncNetworkStream = self.response.extensions["network_stream"]
        while left > 0:
            chunk = await stream.read(min(left, DIRECT_READ_BYTES), timeout=self.policy.stall_s)
            if not chunk:
                raise BrokenError(failures.unreachable(self.path, "the connection broke"))
            left -= len(chunk)
            yield chunk


@asynccontextmanager
async def opened_client(policy: Policy) -> AsyncGenerator[httpx2.AsyncClient]:
    """Have what all requests share: connections that are kept, proxies, certificates."""
    limits = httpx2.Limits(
        max_connections=policy.connections_max, max_keepalive_connections=policy.connections_max
    )
    timeout = httpx2.Timeout(policy.stall_s, connect=policy.connect_s, pool=None)
    headers = {"User-Agent": USER_AGENT, "Accept-Encoding": "identity"}
    async with httpx2.AsyncClient(limits=limits, timeout=timeout, headers=headers) as client:
        yield client


@asynccontextmanager
async def asked(
    client: httpx2.AsyncClient, route: Route, span: Span, policy: Policy
) -> AsyncGenerator[Answer]:
    """Ask for a range and have the answer for the block; leaving it early closes the connection.

    Raises:
        BrokenError: there is no answer, or one that may be better later.
        RbeeError: there is one that says no.
    """
    url = route.address or route.file.url
    for _ in range(REDIRECTS_MAX + 1):
        async with _sent(client, route, url, span) as response:
            verdict = _verdict(route.file, span, response, url)
            if not isinstance(verdict, Follow):
                if verdict_error := _refusal(route, verdict):
                    raise verdict_error
                assert isinstance(verdict, Take)
                route.address = url if url != route.file.url else ""
                yield Answer(verdict, response, route.file.path, policy)
                return
        url = target_of(route.file, url, verdict.location)
    raise failures.misled(route.file.path, f"redirects more than {REDIRECTS_MAX} times")


@asynccontextmanager
async def _sent(
    client: httpx2.AsyncClient, route: Route, url: str, span: Span
) -> AsyncGenerator[httpx2.Response]:
    headers = {"Range": f"bytes={span[0]}-{span[1] - 1}"}
    if origin_of(url) == origin_of(route.file.url):
        headers |= route.headers
    try:
        request = client.build_request("GET", url, headers=headers)
        response = await client.send(request, stream=True)
    except (httpx2.TransportError, httpx2.InvalidURL) as error:
        route.address = ""  # the source may know one that works
        raise BrokenError(failures.unreachable(route.file.path, _told(error))) from error
    try:
        yield response
    finally:
        await response.aclose()


def _verdict(file: RemoteFile, span: Span, response: httpx2.Response, url: str) -> Verdict:
    return judge(
        file,
        span[0],
        response.status_code,
        response.headers,
        is_source=origin_of(url) == origin_of(file.url),
        now=datetime.fromtimestamp(time.time(), UTC),
    )


def _refusal(route: Route, verdict: Verdict) -> Exception | None:
    match verdict:
        case Retry(error, after_s):
            return BrokenError(error, after_s=after_s)
        case Resolve(error):
            route.address = ""
            return BrokenError(error)
        case Fail(error):
            return error
        case Take() | Follow():
            return None


def _told(error: Exception) -> str:
    match error:
        case httpx2.TimeoutException() | httpcore2.TimeoutException():
            return "nothing came for too long"
        case httpx2.ConnectError():
            return "it cannot be connected to"
        case _:
            return "the connection broke"
