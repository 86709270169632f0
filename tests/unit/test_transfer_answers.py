"""What an answer means, whatever it is."""

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from rbee_hive.transfer.answers import (
    Fail,
    Follow,
    Resolve,
    Retry,
    Take,
    Verdict,
    judge,
    origin_of,
    retry_after_s,
    target_of,
)
from rbee_hive.transfer.file import RemoteFile
from rbee_hive.transfer.policy import RETRY_AFTER_S_MAX
from rbee_shared.errors import RbeeError

HUB = "https://hub.example/a/b/resolve/main/m.gguf"
FILE = RemoteFile("m.gguf", HUB, 100, sha256="00")
NOW = datetime(2026, 1, 2, tzinfo=UTC)


def verdict(status: int, *, is_source: bool = True, **headers: str) -> Verdict:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return judge(FILE, 10, status, named, is_source=is_source, now=NOW)


def reason(found: Verdict) -> str:
    assert isinstance(found, Fail | Retry | Resolve)
    return found.error.reason


def test_a_range_is_taken_only_where_it_was_asked_for() -> None:
    assert verdict(206, content_range="bytes 10-19/100") == Take(10)
    assert isinstance(verdict(206, content_range="bytes 11-19/100"), Retry)
    assert isinstance(verdict(206, content_range="nonsense"), Retry)
    assert isinstance(verdict(206), Retry)
    assert isinstance(verdict(206, content_range=f"bytes 10-19/{'9' * 5000}"), Retry)


def test_all_of_it_is_taken_from_the_first_byte() -> None:
    assert verdict(200, content_length="100") == Take(0, is_whole=True)
    assert verdict(200) == Take(0, is_whole=True)
    assert verdict(200, content_length="\u00b2") == Take(0, is_whole=True)


def test_another_length_is_another_file() -> None:
    assert reason(verdict(206, content_range="bytes 10-19/101")) == "LENGTH_MISMATCH"
    assert reason(verdict(200, content_length="99")) == "LENGTH_MISMATCH"
    assert reason(verdict(416, content_range="bytes */5")) == "LENGTH_MISMATCH"
    assert isinstance(verdict(416, content_range="bytes */100"), Retry)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_followed(status: int) -> None:
    assert verdict(status, location="https://cdn.example/x") == Follow("https://cdn.example/x")


@pytest.mark.parametrize(
    ("status", "code", "wanted"),
    [
        (401, "", "SOURCE_UNAUTHORIZED"),
        (401, "RepoNotFound", "SOURCE_UNAUTHORIZED"),
        (401, "GatedRepo", "SOURCE_GATED"),
        (403, "", "SOURCE_UNAUTHORIZED"),
        (403, "GatedRepo", "SOURCE_GATED"),
        (404, "EntryNotFound", "MODEL_SOURCE_NOT_FOUND"),
        (404, "RevisionNotFound", "MODEL_SOURCE_NOT_FOUND"),
        (418, "", "SOURCE_REFUSED"),
        (204, "", "SOURCE_REFUSED"),
    ],
)
def test_a_no_of_the_source_is_final_and_has_its_reason(
    status: int, code: str, wanted: str
) -> None:
    found = verdict(status, x_error_code=code)
    assert isinstance(found, Fail)
    assert found.error.reason == wanted


def test_who_may_not_is_told_what_to_do() -> None:
    gated = verdict(403, x_error_code="GatedRepo")
    assert isinstance(gated, Fail)
    assert "https://hub.example/a/b," in gated.error.hint
    unauthorized = verdict(401)
    assert isinstance(unauthorized, Fail)
    assert "HF_TOKEN" in unauthorized.error.hint


@pytest.mark.parametrize("status", [401, 403, 404])
def test_a_no_of_where_the_source_had_sent_us_is_asked_about_again(status: int) -> None:
    assert isinstance(verdict(status, is_source=False), Resolve)


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504])
def test_what_may_pass_is_tried_again(status: int) -> None:
    found = verdict(status, retry_after="7")
    assert isinstance(found, Retry)
    assert found.after_s == 7
    assert reason(found) == ("SOURCE_RATE_LIMITED" if status == 429 else "SOURCE_UNREACHABLE")


def test_a_retry_after_is_seconds_or_a_date_and_has_a_limit() -> None:
    assert retry_after_s("3", NOW) == 3
    assert retry_after_s(format_datetime(NOW + timedelta(seconds=9), usegmt=True), NOW) == 9
    assert retry_after_s(format_datetime(NOW - timedelta(seconds=9), usegmt=True), NOW) == 0
    assert retry_after_s("9" * 400, NOW) == RETRY_AFTER_S_MAX
    for nonsense in ("", "-3", "soon", "\u0663", "Fri, 31 Dec 99999 23:59:59 GMT"):
        assert retry_after_s(nonsense, NOW) == 0


def test_a_redirect_stays_on_the_web_and_never_gives_up_encryption() -> None:
    assert target_of(FILE, HUB, "/x?y") == "https://hub.example/x?y"
    assert target_of(FILE, HUB, "https://cdn.example/x") == "https://cdn.example/x"
    assert target_of(FILE, "http://a/b", "https://cdn.example/x") == "https://cdn.example/x"
    for location in (
        "http://cdn.example/x",
        "file:///etc/passwd",
        "ftp://a/b",
        "https://a:x/",
        "https://[/",
    ):
        with pytest.raises(RbeeError) as caught:
            target_of(FILE, HUB, location)
        assert caught.value.reason == "SOURCE_REDIRECTS"


def test_an_origin_is_scheme_host_and_port() -> None:
    assert origin_of("https://Hub.example/x") == origin_of("https://hub.example:443/y")
    assert origin_of("http://hub.example") != origin_of("https://hub.example")
    assert origin_of("http://hub.example:81") != origin_of("http://hub.example")
