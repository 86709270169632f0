"""What the hub's refusals become: told apart, with what to do, and nothing of a token in them."""

import httpx2
import pytest
from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled
from huggingface_hub.utils import hf_raise_for_status

from rbee_hive.sources.hub_errors import EndpointMalformedError, explain, gated, host_of
from rbee_shared.errors import RbeeError

ENDPOINT = "https://mirror.example:8443"
TOKEN = "hf_" + "abcdefghijklmnop"


def told(error: httpx2.HTTPError | OfflineModeIsEnabled, *, has_token: bool = True) -> RbeeError:
    return explain(error, repo="org/repo", revision="v1", endpoint=ENDPOINT, has_token=has_token)


def answered(status: int, code: str = "", message: str = "") -> HfHubHTTPError:
    request = httpx2.Request(
        "GET",
        f"{ENDPOINT}/api/models/org/repo/revision/v1",
        headers={"Authorization": f"Bearer {TOKEN}"},
    )
    headers = {"X-Error-Code": code, "X-Error-Message": message, "X-Request-Id": "r"}
    with pytest.raises(HfHubHTTPError) as caught:
        hf_raise_for_status(
            httpx2.Response(status, headers=headers, text=f"echo {TOKEN}", request=request)
        )
    return caught.value


@pytest.mark.parametrize(
    ("status", "code", "message", "reason", "in_hint"),
    [
        (401, "", "Invalid username or password.", "MODEL_SOURCE_NOT_FOUND", "check its name"),
        (404, "RepoNotFound", "Repository not found", "MODEL_SOURCE_NOT_FOUND", "private"),
        (401, "", "Invalid credentials in Authorization header", "SOURCE_UNAUTHORIZED", "hf auth"),
        (403, "GatedRepo", "restricted", "SOURCE_GATED", f"{ENDPOINT}/org/repo"),
        (404, "RevisionNotFound", "Invalid rev id", "REVISION_NOT_FOUND", "a branch"),
        (403, "", "Access to this resource is disabled.", "SOURCE_DISABLED", "another"),
        (403, "", "no", "SOURCE_REFUSED", "permission"),
        (400, "", "no", "SOURCE_REFUSED", "permission"),
        (404, "", "what?", "SOURCE_REFUSED", "permission"),
        (429, "", "slow down", "SOURCE_RATE_LIMITED", "wait"),
        (500, "", "oops", "SOURCE_UNAVAILABLE", "later"),
        (503, "", "oops", "SOURCE_UNAVAILABLE", "later"),
    ],
)
def test_each_refusal_has_its_reason_and_what_to_do(
    status: int, code: str, message: str, reason: str, in_hint: str
) -> None:
    error = told(answered(status, code, message))
    assert error.reason == reason
    assert in_hint in error.hint
    for text in (str(error), error.hint):
        assert TOKEN not in text
        assert "\n" not in text


def test_a_private_repository_is_told_of_as_what_it_may_be() -> None:
    without = told(answered(401, "RepoNotFound"), has_token=False)
    assert "`hf auth login` on the hive's machine, or HF_TOKEN for the process" in without.hint
    assert "the token of the hive" in told(answered(404, "RepoNotFound")).hint


def test_who_has_no_token_is_told_to_get_one_for_what_is_gated() -> None:
    assert "hf auth login" in told(answered(401, "GatedRepo"), has_token=False).hint
    assert "hf auth login" not in told(answered(403, "GatedRepo")).hint
    assert "secret" not in gated("a/b", endpoint="https://me:secret@x", has_token=True).hint


@pytest.mark.parametrize(
    ("error", "reason", "message"),
    [
        (OfflineModeIsEnabled("x"), "SOURCE_OFFLINE", "HF_HUB_OFFLINE"),
        (httpx2.ConnectError("[Errno 111] x"), "SOURCE_UNREACHABLE", "mirror.example:8443"),
        (httpx2.ReadTimeout("x"), "SOURCE_UNREACHABLE", "in time"),
        (httpx2.ConnectTimeout("x"), "SOURCE_UNREACHABLE", "in time"),
        (httpx2.ProxyError(f"407 {TOKEN}"), "SOURCE_UNREACHABLE", "proxy"),
        (httpx2.RemoteProtocolError("x"), "SOURCE_UNREACHABLE", "mirror.example:8443"),
        (httpx2.TooManyRedirects("x"), "SOURCE_UNREACHABLE", "mirror.example:8443"),
    ],
)
def test_where_there_is_no_answer_the_host_is_named(
    error: httpx2.HTTPError | OfflineModeIsEnabled, reason: str, message: str
) -> None:
    explained = told(error)
    assert explained.reason == reason
    assert message in str(explained)
    assert explained.hint
    assert TOKEN not in str(explained) + explained.hint


def test_a_host_is_told_without_a_password() -> None:
    assert host_of("https://huggingface.co") == "huggingface.co"
    assert host_of("http://me:secret@127.0.0.1:80/x") == "127.0.0.1:80"


@pytest.mark.parametrize(
    "endpoint",
    ["", "huggingface.co", "ftp://x", "https://", "file:///x", "https://x:y", "http://["],
)
def test_an_endpoint_that_is_no_address_is_refused(endpoint: str) -> None:
    with pytest.raises(EndpointMalformedError) as caught:
        host_of(endpoint)
    assert "HF_ENDPOINT" in str(caught.value)
