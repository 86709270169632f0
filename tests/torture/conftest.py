"""A hub for every scenario, and a user whose token, cache and endpoint are the test's own."""

from collections.abc import Generator
from pathlib import Path

import pytest
from huggingface_hub import close_session

from tests.hub.hub import Hub
from tests.hub.serve import serving_hub
from tests.torture.invariants import TOKEN

FOREIGN = ("HUGGING_FACE_HUB_TOKEN", "HF_HUB_OFFLINE", "HF_HUB_CACHE", "HTTP_PROXY", "http_proxy")


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Generator[Hub]:
    with serving_hub(tmp_path / "hub") as served:
        for name in FOREIGN:
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("HF_TOKEN", TOKEN)
        monkeypatch.setenv("HF_ENDPOINT", served.endpoint)
        monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        # the library read its environment when it was imported
        monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", served.endpoint)
        template = f"{served.endpoint}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
        monkeypatch.setattr("huggingface_hub.constants.HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr("huggingface_hub.constants.HF_TOKEN_PATH", str(tmp_path / "no-token"))
        cache = tmp_path / "hf" / "hub"
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(cache))
        monkeypatch.setattr("rbee_hive.sources.hub_cache.HF_HUB_CACHE", str(cache))
        close_session()
        yield served
        close_session()
