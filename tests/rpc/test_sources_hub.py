"""The hub as huggingface_hub asks it, against a server that speaks its endpoints."""

import hashlib
import http.server
import json
import os
import subprocess
import sys
import threading
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import close_session

from rbee_hive.sources.choose import TooManyFilesError, choose
from rbee_hive.sources.hub import HubSource
from rbee_hive.sources.hub_errors import SourceDamagedError, TokenRefusedError
from rbee_hive.sources.listing import LISTED_FILES_MAX
from rbee_shared.errors import RbeeError
from rbee_shared.references.kinds import HubReference
from tests.hub.faults import Kind
from tests.hub.hub import Hub
from tests.hub.serve import serving_hub

WEIGHTS, README = b"GGUF weights", b"# Tiny"
COMMIT = "0123456789abcdef0123456789abcdef01234567"
TOKEN = "hf_" + "abcdefghijklmnop"
REFERENCE = HubReference("org/tiny")


@pytest.fixture(autouse=True)
def no_token(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Generator[None]:
    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HF_ENDPOINT", "HF_HUB_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr("huggingface_hub.constants.HF_TOKEN_PATH", str(tmp_path / "no-token"))
    close_session()  # it keeps proxies and connections of earlier tests
    yield
    close_session()


@pytest.fixture
def hub(tmp_path: Path) -> Generator[Hub]:
    with serving_hub(tmp_path / "hub") as hub:
        hub.put("org/tiny", {"tiny-Q8_0.gguf": WEIGHTS, "README.md": README, "a b/é.json": b"{}"})
        yield hub


def settings(hub: Hub, **values: Any) -> None:
    (hub.repos.root / "org/tiny/.hub.json").write_text(json.dumps(values))


def refusal(hub: Hub, reference: HubReference = REFERENCE) -> RbeeError:
    with pytest.raises(RbeeError) as caught:
        HubSource(hub.endpoint).listing(reference)
    assert caught.value.hint
    assert TOKEN not in str(caught.value) + caught.value.hint
    return caught.value


def test_a_listing_has_sizes_hashes_licence_and_commit(hub: Hub) -> None:
    listing = HubSource(hub.endpoint).listing(REFERENCE)
    files = listing.by_path()
    weights, readme = files["tiny-Q8_0.gguf"], files["README.md"]
    assert len(listing.commit) == 40
    assert (weights.sha256, weights.git_sha1) == (hashlib.sha256(WEIGHTS).hexdigest(), "")
    of_git = hashlib.sha1(b"blob %d\0" % len(README) + README, usedforsecurity=False)
    assert (readme.sha256, readme.git_sha1) == ("", of_git.hexdigest())
    assert (weights.size_bytes, readme.size_bytes) == (len(WEIGHTS), len(README))
    assert (listing.licence, listing.is_gated, listing.is_private) == ("apache-2.0", False, False)
    assert choose(listing, REFERENCE).main == "tiny-Q8_0.gguf"
    assert not any(seen.token for seen in hub.requests)


def test_a_branch_moves_and_a_commit_stays(hub: Hub) -> None:
    source = HubSource(hub.endpoint)
    first = source.listing(REFERENCE)
    hub.repos.branch("org/tiny", "v1/é")
    hub.put("org/tiny", {"tiny-Q8_0.gguf": b"GGUF others"})
    second = source.listing(REFERENCE)
    assert first.commit != second.commit
    assert source.listing(HubReference("org/tiny", first.commit)) == first
    assert source.listing(HubReference("org/tiny", "v1/é")) == first


def test_addresses_are_pinned_to_the_commit(hub: Hub) -> None:
    source = HubSource(f"{hub.endpoint}/")
    listing = source.listing(REFERENCE)
    url = source.url(listing, listing.by_path()["a b/é.json"])
    assert url == f"{hub.endpoint}/org/tiny/resolve/{listing.commit}/a%20b/%C3%A9.json"


def test_a_token_is_shown_and_a_private_repository_opens(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings(hub, is_private=True, granted=[TOKEN])
    without = refusal(hub)
    assert (without.reason, "HF_TOKEN" in without.hint) == ("MODEL_SOURCE_NOT_FOUND", True)
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    source = HubSource(hub.endpoint)
    assert source.token() == TOKEN
    assert source.listing(REFERENCE).is_private
    monkeypatch.setenv("HF_TOKEN", "hf_of_somebody_else")
    other = refusal(hub)
    assert (other.reason, "the token of the hive" in other.hint) == (without.reason, True)


def test_the_token_of_a_login_is_shown(
    hub: Hub, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "token").write_text(f"{TOKEN}\n")
    monkeypatch.setattr("huggingface_hub.constants.HF_TOKEN_PATH", str(tmp_path / "token"))
    assert HubSource(hub.endpoint).token() == TOKEN


def test_a_token_that_is_not_taken_is_told_as_such(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "invalid")
    assert refusal(hub).reason == "SOURCE_UNAUTHORIZED"
    for token in ("hf_é", "hf_a\x1bb"):
        monkeypatch.setenv("HF_TOKEN", token)
        with pytest.raises(TokenRefusedError) as caught:
            HubSource(hub.endpoint).listing(REFERENCE)
        assert token not in str(caught.value)


def test_what_is_gated_is_listed_and_says_so(hub: Hub) -> None:
    settings(hub, gated="manual")
    assert HubSource(hub.endpoint).listing(REFERENCE).is_gated


@pytest.mark.parametrize(
    ("reference", "reason"),
    [
        (HubReference("org/none"), "MODEL_SOURCE_NOT_FOUND"),
        (HubReference("org/tiny", "v9"), "REVISION_NOT_FOUND"),
        (HubReference("org/tiny", "f" * 40), "REVISION_NOT_FOUND"),
    ],
)
def test_what_is_not_there_is_told(hub: Hub, reference: HubReference, reason: str) -> None:
    assert refusal(hub, reference).reason == reason


@pytest.mark.parametrize(
    ("status", "reason"),
    [(429, "SOURCE_RATE_LIMITED"), (500, "SOURCE_UNAVAILABLE"), (503, "SOURCE_UNAVAILABLE")],
)
def test_a_hub_in_trouble_is_told(hub: Hub, status: int, reason: str) -> None:
    hub.faults.add(Kind.STATUS, "api/*", status=status, retry_after="1")
    assert refusal(hub).reason == reason


@pytest.mark.parametrize("kind", [Kind.REDIRECT_LOOP, Kind.RESET])
def test_a_hub_without_an_answer_is_told(hub: Hub, kind: Kind) -> None:
    hub.faults.add(kind, "api/*", after_bytes=-1)
    error = refusal(hub)
    assert error.reason == "SOURCE_UNREACHABLE"
    assert "127.0.0.1:" in str(error)


def test_a_hub_that_is_gone_is_told(tmp_path: Path) -> None:
    with serving_hub(tmp_path) as hub:
        pass
    assert refusal(hub).reason == "SOURCE_UNREACHABLE"


def test_the_offline_mode_asks_nobody(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    assert refusal(hub).reason == "SOURCE_OFFLINE"
    assert hub.requests == []


def test_an_endpoint_that_is_no_address_is_told() -> None:
    with pytest.raises(RbeeError) as caught:
        HubSource("huggingface.co").listing(REFERENCE)
    assert caught.value.reason == "ENDPOINT_MALFORMED"


def test_the_environment_says_where_the_hub_is_and_whether_to_ask(hub: Hub) -> None:
    code = (
        "from rbee_hive.sources.hub import HubSource\n"
        "from rbee_shared.references.kinds import HubReference\n"
        "source = HubSource()\n"
        "print(source.endpoint, source.token())\n"
        "print(len(source.listing(HubReference('org/tiny')).files))\n"
    )
    environment = {**os.environ, "HF_ENDPOINT": f"{hub.endpoint}/", "HF_TOKEN": TOKEN}
    command = [sys.executable, "-c", code]
    asked = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert asked.stdout.splitlines() == [f"{hub.endpoint} {TOKEN}", "3"]
    environment |= {"HF_HUB_OFFLINE": "1"}
    offline = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert "HF_HUB_OFFLINE is set" in offline.stderr


@contextmanager
def answering(body: bytes) -> Generator[str]:
    """Serve one answer to everything, and yield where."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base's name
            """Say nothing."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def info(*siblings: object, **values: object) -> bytes:
    return json.dumps({"id": "org/tiny", "sha": COMMIT, "siblings": siblings, **values}).encode()


GOOD = {"rfilename": "x.gguf", "size": 1, "blobId": COMMIT}


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>",
        b"[]",
        b"{}",
        b"null",
        b'"x"',
        b"[" * 100_000,
        info(sha=None),
        info(sha="main"),
        info(sha=5),
        info(siblings=None),
        info(siblings=5),
        info(siblings={"a": 1}),
        info("x"),
        info({}),
        info({"rfilename": "x"}),
        info({**GOOD, "rfilename": 5}),
        info({**GOOD, "size": -1}),
        info({**GOOD, "size": "1"}),
        info({**GOOD, "blobId": "../x"}),
        info({**GOOD, "blobId": None}),
        info({**GOOD, "lfs": {"size": 1, "sha256": "x", "pointerSize": 1}}),
        info({**GOOD, "lfs": {"size": 2, "sha256": "0" * 64, "pointerSize": 1}}),
        info({**GOOD, "lfs": 5}),
        info(GOOD, GOOD),
    ],
    ids=range(25),
)
def test_an_answer_that_is_none_is_damage_and_no_traceback(body: bytes) -> None:
    with answering(body) as endpoint, pytest.raises(SourceDamagedError) as caught:
        HubSource(endpoint).listing(REFERENCE)
    assert caught.value.reason == "SOURCE_DAMAGED"


def test_a_repository_with_more_files_than_any_model_is_refused() -> None:
    files = [{**GOOD, "rfilename": f"{number}"} for number in range(LISTED_FILES_MAX + 1)]
    with answering(info(*files)) as endpoint, pytest.raises(TooManyFilesError):
        HubSource(endpoint).listing(REFERENCE)


@pytest.mark.parametrize(
    ("values", "licence"),
    [
        ({"cardData": {"license": "mit"}}, "mit"),
        ({"cardData": {"license": ["mit", "x"]}, "tags": ["gguf", "license:other"]}, "other"),
        ({"tags": [5, "license:llama3"]}, "llama3"),
        ({"cardData": {"license": "a\x1bb"}}, ""),
        ({}, ""),
    ],
)
def test_the_licence_is_that_of_the_card_or_a_tag(values: dict[str, Any], licence: str) -> None:
    with answering(info(GOOD, **values)) as endpoint:
        assert HubSource(endpoint).listing(REFERENCE).licence == licence
