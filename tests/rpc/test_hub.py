"""The test hub speaks as huggingface_hub expects: judged by huggingface_hub itself."""

import hashlib
import json
import os
import subprocess
import sys
import urllib.request
from collections.abc import Generator
from pathlib import Path
from typing import Any

import huggingface_hub as library
import pytest
from huggingface_hub import HfApi, hf_hub_url
from huggingface_hub.errors import (
    GatedRepoError,
    RemoteEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from tests.hub.faults import Kind
from tests.hub.hub import Hub
from tests.hub.serve import serving_hub

library_of: Any = library  # its types are known in part only
REPO = "acorn/tiny-model"
GGUF = b"GGUF" + bytes(range(256)) * 64
CONFIG = b'{"model_type": "llama"}'


@pytest.fixture
def hub(tmp_path: Path) -> Generator[Hub]:
    with serving_hub(tmp_path / "hub") as served:
        served.put(REPO, {"sub/m.gguf": GGUF, "config.json": CONFIG})
        yield served


def settle(hub: Hub, **settings: object) -> None:
    (hub.repos.root / REPO / ".hub.json").write_text(json.dumps(settings))


def test_a_model_has_its_files_with_sizes_and_hashes(hub: Hub) -> None:
    info = HfApi(endpoint=hub.endpoint, token=False).model_info(REPO, files_metadata=True)
    files = {each.rfilename: each for each in info.siblings or ()}
    lfs = files["sub/m.gguf"].lfs
    assert lfs is not None
    assert (lfs.sha256, lfs.size) == (hashlib.sha256(GGUF).hexdigest(), len(GGUF))
    blob = hashlib.sha1(b"blob %d\0" % len(CONFIG) + CONFIG, usedforsecurity=False).hexdigest()
    assert files["config.json"].lfs is None
    assert (files["config.json"].blob_id, files["config.json"].size) == (blob, len(CONFIG))
    assert info.card_data is not None
    assert info.card_data.license == "apache-2.0"


def test_a_branch_moves_and_earlier_commits_stay(hub: Hub, tmp_path: Path) -> None:
    api = HfApi(endpoint=hub.endpoint, token=False)
    first = api.model_info(REPO).sha
    assert hub.put(REPO, {"config.json": b"{}"}) == api.model_info(REPO, revision="main").sha
    assert first != api.model_info(REPO).sha
    assert first is not None
    kept = library_of.hf_hub_download(
        REPO,
        "config.json",
        revision=first,
        endpoint=hub.endpoint,
        cache_dir=tmp_path / "cache",
        token=False,
    )
    assert Path(kept).read_bytes() == CONFIG


@pytest.mark.parametrize(("path", "data"), [("sub/m.gguf", GGUF), ("config.json", CONFIG)])
def test_files_come_whole_and_no_token_reaches_the_cdn(
    hub: Hub, tmp_path: Path, path: str, data: bytes
) -> None:
    settle(hub, gated="manual", granted=["hf_squirrel"])
    file = library_of.hf_hub_download(
        REPO, path, endpoint=hub.endpoint, cache_dir=tmp_path / "cache", token="hf_squirrel"
    )
    assert Path(file).read_bytes() == data
    seen = {(each.where, each.token) for each in hub.requests}
    assert ("hub", "Bearer hf_squirrel") in seen
    assert {token for where, token in seen if where == "cdn"} <= {""}


def test_what_is_not_there_is_told_apart(hub: Hub) -> None:
    api = HfApi(endpoint=hub.endpoint, token=False)
    with pytest.raises(RepositoryNotFoundError):
        api.model_info("acorn/none")
    with pytest.raises(RevisionNotFoundError):
        api.model_info(REPO, revision="v9")
    with pytest.raises(RemoteEntryNotFoundError):
        library_of.get_hf_file_metadata(
            hf_hub_url(REPO, "none.gguf", endpoint=hub.endpoint), token=False
        )


def test_private_and_gated_models_are_for_those_who_were_let_in(hub: Hub) -> None:
    url = hf_hub_url(REPO, "config.json", endpoint=hub.endpoint)
    settle(hub, gated="auto", granted=["hf_squirrel"])
    assert HfApi(endpoint=hub.endpoint, token=False).model_info(REPO).gated == "auto"
    with pytest.raises(GatedRepoError, match="401"):
        library_of.get_hf_file_metadata(url, token=False)
    with pytest.raises(GatedRepoError, match="403"):
        library_of.get_hf_file_metadata(url, token="hf_mole")
    assert library_of.get_hf_file_metadata(url, token="hf_squirrel").size == len(CONFIG)
    settle(hub, is_private=True, granted=["hf_squirrel"])
    hub.put(REPO, {"more.json": b"{}"})
    with pytest.raises(RepositoryNotFoundError, match="401"):
        library_of.get_hf_file_metadata(url, token=False)
    with pytest.raises(RepositoryNotFoundError, match="404"):
        library_of.get_hf_file_metadata(url, token="hf_mole")


def fetched(url: str, span: str = "") -> tuple[int, str, bytes]:
    request = urllib.request.Request(url, headers={"Range": span} if span else {})  # noqa: S310
    with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310 - our own server
        return answer.status, answer.headers.get("Content-Range", ""), answer.read()


def test_a_range_of_a_file_can_be_had_and_faults_fall_where_they_should(hub: Hub) -> None:
    url = hub.url(REPO, "sub/m.gguf")
    assert fetched(url, "bytes=4-9") == (206, f"bytes 4-9/{len(GGUF)}", GGUF[4:10])
    hub.faults.add(Kind.FLIP, "*.gguf", offset=6, count=1)
    flipped = fetched(url, "bytes=4-9")[2]
    assert [a ^ b for a, b in zip(flipped, GGUF[4:10], strict=True)] == [0, 0, 255, 0, 0, 0]
    hub.faults.add(Kind.NO_RANGE, "*.gguf", skip=1, count=1, where="cdn")
    assert fetched(url, "bytes=4-9")[0] == 206
    assert fetched(url, "bytes=4-9") == (200, "", GGUF)
    assert fetched(url, "bytes=4-")[2] == GGUF[4:]


def test_the_library_reads_the_endpoint_of_its_environment(hub: Hub, tmp_path: Path) -> None:
    script = f"from huggingface_hub import hf_hub_download as d; print(d('{REPO}', 'config.json'))"
    environment = os.environ | {"HF_ENDPOINT": hub.endpoint, "HF_HOME": str(tmp_path / "home")}
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert Path(done.stdout.strip()).read_bytes() == CONFIG
