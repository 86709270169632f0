"""The store and a hub: what is planned, fetched, reused, kept when nobody answers, and mended."""

from collections.abc import AsyncGenerator, Generator
from pathlib import Path

import pytest
from huggingface_hub import close_session

from rbee_hive.models.metadata import StoredModel
from rbee_hive.models.plan import planned
from rbee_hive.models.store import ModelStore, opened_store
from rbee_hive.models.upkeep import prune, verify_models
from rbee_shared.errors import FailedPreconditionError, UnavailableError
from tests.hub.faults import Kind
from tests.hub.hub import Hub
from tests.hub.serve import serving_hub
from tests.stores import Makers, names, telling, write_files

GGUF = b"GGUF" + bytes(range(256)) * 64
WEB = {
    "config.json": b"{}",
    "tokenizer.json": b'{"a": 1}',
    "onnx/model_quantized.onnx": b"a graph of 8 bits",
    "onnx/model_q4.onnx": b"a graph of 4",
    "README.md": b"# Web",
}
DATA_REQUEST = "/resolve/"


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Generator[Hub]:
    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr("huggingface_hub.constants.HF_TOKEN_PATH", str(tmp_path / "no-token"))
    monkeypatch.setattr("rbee_hive.sources.hub_cache.HF_HUB_CACHE", str(tmp_path / "hf"))
    with serving_hub(tmp_path / "hub") as hub:
        # as HF_ENDPOINT sets them, once a process
        template = f"{hub.endpoint}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
        monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", hub.endpoint)
        monkeypatch.setattr("huggingface_hub.constants.HUGGINGFACE_CO_URL_TEMPLATE", template)
        close_session()
        hub.put("org/tiny", {"tiny-Q8_0.gguf": GGUF, "tiny-Q4_0.gguf": b"GGUF, small"})
        hub.put("org/web", WEB)
        yield hub
    close_session()


@pytest.fixture
def makers() -> Makers:
    return Makers()


@pytest.fixture
async def store(tmp_path: Path, hub: Hub, makers: Makers) -> AsyncGenerator[ModelStore]:
    async with opened_store(tmp_path / "models", tools=makers.tools) as opened:
        yield opened


async def pulled(store: ModelStore, text: str) -> StoredModel:
    return await store.pull(store.reference(text))


def fetched(hub: Hub) -> list[str]:
    """Return the names of the files that were asked for since the last time."""
    seen = [each.path for each in hub.requests if each.where == "hub" and each.method == "GET"]
    hub.requests.clear()
    return [path.rpartition("/")[2] for path in seen if DATA_REQUEST in path]


async def test_a_plan_says_what_comes_and_what_it_takes(store: ModelStore, hub: Hub) -> None:
    plan = await planned(store.reference("org/tiny"), store)
    assert [(each.path, each.chosen) for each in plan.choices] == [
        ("tiny-Q8_0.gguf", True),
        ("tiny-Q4_0.gguf", False),
    ]
    assert all(each.reason for each in plan.choices)
    assert (plan.fetch_bytes, plan.reused_bytes, plan.is_present) == (len(GGUF), 0, False)
    assert plan.weights_bytes == int(len(GGUF) / 8.5 * 9)
    assert plan.required_disk_bytes == plan.weights_bytes + len(GGUF)
    assert plan.free_disk_bytes > 0
    assert fetched(hub) == []
    floats = await planned(store.reference("org/tiny#f32"), store)
    assert floats.weights_bytes == int(len(GGUF) / 8.5 * 32)
    assert names(store.catalog.root) == []


async def test_a_plan_of_what_is_here_takes_nothing(store: ModelStore) -> None:
    model = await pulled(store, "org/tiny")
    plan = await planned(store.reference("org/tiny"), store)
    assert (plan.revision, plan.is_present) == (model.revision, True)
    assert (plan.fetch_bytes, plan.required_disk_bytes) == (0, 0)
    assert plan.reused_bytes == len(GGUF)


async def test_a_plan_counts_files_that_another_model_has(store: ModelStore) -> None:
    await pulled(store, "org/web")
    plan = await planned(store.reference("org/web:q4"), store)
    assert plan.fetch_bytes == len(WEB["onnx/model_q4.onnx"])


async def test_a_folder_of_the_hub_is_described_with_its_graph_and_licence(
    store: ModelStore, makers: Makers, hub: Hub
) -> None:
    model = await pulled(store, "org/web")
    assert makers.descriptions == [("onnx/model_quantized.onnx", "hf:org/web", "apache-2.0")]
    assert (model.converter, model.description.licence) == ("", "apache-2.0")
    assert [each.path for each in model.files] == [
        "config.json",
        "onnx/model_quantized.onnx",
        "rbee.json",
        "tokenizer.json",
    ]
    assert sorted(fetched(hub)) == ["config.json", "model_quantized.onnx", "tokenizer.json"]


async def test_the_same_file_in_another_repository_is_not_fetched(
    store: ModelStore, makers: Makers, hub: Hub
) -> None:
    first = await pulled(store, "org/tiny")
    hub.put("org/copy", {"copy.Q8_0.gguf": GGUF})
    fetched(hub)
    second = await pulled(store, "org/copy")
    assert (second.files, fetched(hub)) == (first.files, [])
    assert makers.conversions == [""]
    await pulled(store, "org/copy#f32")
    assert (makers.conversions, fetched(hub)) == (["", "f32"], ["copy.Q8_0.gguf"])


async def test_weights_of_a_reference_reach_the_converter_and_make_another_model(
    store: ModelStore, makers: Makers
) -> None:
    models = [await pulled(store, f"org/tiny{weights}") for weights in ("", "#exact", "#f32")]
    assert makers.conversions == ["", "exact", "f32"]
    assert [each.converter.partition("/")[0] for each in models] == ["int8", "exact", "f32"]
    assert len({each.folder for each in models}) == len({each.files for each in models}) == 3
    assert {each.source_sha256 for each in models} == {models[0].source_sha256}


async def test_a_file_is_converted_under_its_own_name(store: ModelStore, makers: Makers) -> None:
    await pulled(store, "org/tiny")
    assert makers.sources == ["tiny-Q8_0.gguf"]


async def test_a_newer_revision_comes_beside_the_old_one(store: ModelStore, hub: Hub) -> None:
    old = await pulled(store, "org/tiny")
    assert await pulled(store, "org/tiny") == old
    commit = hub.put("org/tiny", {"tiny-Q8_0.gguf": GGUF + b"more"})
    new = await pulled(store, "org/tiny")
    assert new.revision == commit != old.revision
    assert await store.get(store.reference("org/tiny")) == new
    assert await pulled(store, f"org/tiny@{old.revision}") != old, "it is of another name"
    assert [path for path, _ in await prune(store, in_use=(), dry_run=False)] == [old.folder]


async def test_a_revision_that_is_the_newest_again_is_used_again(
    store: ModelStore, hub: Hub
) -> None:
    first = await pulled(store, "org/tiny")
    hub.put("org/tiny", {"tiny-Q8_0.gguf": GGUF + b"withdrawn"})
    second = await pulled(store, "org/tiny")
    hub.put("org/tiny", {"tiny-Q8_0.gguf": GGUF})
    again = await pulled(store, "org/tiny")
    assert (again.folder, again.files) == (first.folder, first.files)
    assert await store.get(store.reference("org/tiny")) == again
    assert [path for path, _ in await prune(store, in_use=(), dry_run=True)] == [second.folder]


async def test_a_hub_that_does_not_answer_leaves_what_is_here(store: ModelStore, hub: Hub) -> None:
    model = await pulled(store, "org/tiny")
    hub.faults.add(Kind.STATUS, "api/*", status=503)
    with telling() as told:
        assert await pulled(store, "org/tiny") == model
    assert told.warnings[0].startswith("whether there is a newer hf:org/tiny cannot be asked: `127")
    with pytest.raises(UnavailableError):
        await pulled(store, "org/web")
    write_files(model.folder, {"rbee.json": b""})
    with pytest.raises(UnavailableError):
        await pulled(store, "org/tiny")


async def test_a_hub_that_is_not_to_be_asked_leaves_what_is_here(
    store: ModelStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = await pulled(store, "org/tiny")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    close_session()
    with telling() as told:
        assert await pulled(store, "org/tiny") == model
    assert told.warnings[0].endswith("the hub is not asked for `org/tiny`: HF_HUB_OFFLINE is set")
    with pytest.raises(FailedPreconditionError, match="HF_HUB_OFFLINE"):
        await pulled(store, "org/web")


async def test_a_repair_fetches_no_file_that_is_whole(store: ModelStore, hub: Hub) -> None:
    model = await pulled(store, "org/web")
    fetched(hub)
    write_files(model.folder, {"config.json": b"[]"})
    found = await verify_models(store, "", repair=True)
    assert [(fault.path, repaired) for fault, repaired in found.faults] == [("config.json", True)]
    assert fetched(hub) == ["config.json"]
    assert await store.get(store.reference("org/web")) == model
