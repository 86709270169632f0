"""Upkeep: damage is found and mended, what is old goes, what was copied here is taken in."""

from collections.abc import AsyncGenerator
from dataclasses import replace
from pathlib import Path

import pytest

from rbee_hive.models.catalog import STAGING_PREFIX
from rbee_hive.models.metadata import FILE_NAME, MetadataDamagedError, StoredModel, to_yaml
from rbee_hive.models.store import ModelStore, opened_store
from rbee_hive.models.upkeep import prune, take_in, verify_models
from rbee_shared.errors import InvalidArgumentError, ModelNotFoundError, RbeeError
from tests.stores import ONNX, Makers, described, names, telling, write_files

GGUF = b"GGUF" + bytes(range(256)) * 16
GRAPH, TRICK = "model.onnx", b"a trick"


@pytest.fixture
def makers() -> Makers:
    return Makers()


@pytest.fixture
async def store(tmp_path: Path, makers: Makers) -> AsyncGenerator[ModelStore]:
    async with opened_store(tmp_path / "models", tools=makers.tools) as opened:
        yield opened


@pytest.fixture
def source(tmp_path: Path) -> Path:
    write_files(tmp_path, {"tiny.gguf": GGUF})
    return tmp_path / "tiny.gguf"


async def pulled(store: ModelStore, source: Path, data: bytes = GGUF) -> StoredModel:
    write_files(source.parent, {source.name: data})
    return await store.pull(store.reference(f"file:{source}"))


def spoil(model: StoredModel, data: bytes = TRICK, path: str = GRAPH) -> None:
    write_files(model.folder, {path: data})


def drop(file: Path) -> None:
    file.unlink()


async def entry_of(tmp_path: Path, makers: Makers, source: Path) -> StoredModel:
    """Return a model of another store."""
    async with opened_store(tmp_path / "other", tools=makers.tools) as other:
        return await pulled(other, source)


async def test_models_that_are_whole_are_counted(store: ModelStore, source: Path) -> None:
    await pulled(store, source)
    await pulled(store, source.with_name("other.gguf"), b"GGUF, other")
    found = await verify_models(store, "", repair=False)
    assert (found.model_count, found.file_count, found.faults) == (2, 8, ())
    found = await verify_models(store, f"file:{source}", repair=False)
    assert (found.model_count, found.file_count, found.faults) == (1, 4, ())


async def test_an_empty_store_is_whole_and_a_model_that_is_not_here_is_told(
    store: ModelStore,
) -> None:
    assert (await verify_models(store, "", repair=True)).model_count == 0
    with pytest.raises(ModelNotFoundError):
        await verify_models(store, "smollm2", repair=True)


@pytest.mark.parametrize(
    ("data", "why"),
    [(TRICK, "the SHA-256 of `model.onnx` is"), (b"cut", "`model.onnx` has 3 bytes, not 7")],
)
async def test_damage_is_found_by_name_and_left_unless_asked(
    store: ModelStore, source: Path, data: bytes, why: str
) -> None:
    model = await pulled(store, source)
    spoil(model, data)
    (model.folder / "tokenizer.json").unlink()
    found = await verify_models(store, "", repair=False)
    (graph, tokenizer) = found.faults
    assert (graph[0].path, graph[1]) == (GRAPH, False)
    assert graph[0].message.startswith(why)
    assert tokenizer[0].message == "`tokenizer.json` is gone"
    assert (model.folder / GRAPH).read_bytes() == data


async def test_damage_is_mended_from_where_the_model_came(store: ModelStore, source: Path) -> None:
    model = await pulled(store, source)
    spoil(model)
    found = await verify_models(store, f"file:{source}", repair=True)
    assert [repaired for _, repaired in found.faults] == [True]
    assert await store.get(store.reference(f"file:{source}")) == model
    assert (await verify_models(store, "", repair=False)).faults == ()


async def test_damage_whose_source_is_gone_or_another_is_told_and_stays(
    store: ModelStore, source: Path
) -> None:
    model = await pulled(store, source)
    spoil(model)
    write_files(source.parent, {source.name: b"GGUF, changed"})
    found = await verify_models(store, "", repair=True)
    assert [repaired for _, repaired in found.faults] == [False]
    drop(source)
    with telling() as told:
        found = await verify_models(store, "", repair=True)
    assert [repaired for _, repaired in found.faults] == [False]
    assert told.warnings[-1].startswith(f"file:{source} is not mended: there is no `")


async def test_each_revision_is_checked_under_its_own_name(store: ModelStore, source: Path) -> None:
    first = await pulled(store, source)
    second = await pulled(store, source, b"GGUF, newer")
    with telling() as told:
        await verify_models(store, "", repair=False)
    targets = {each.target for each in told if each.action == "model_verify"}
    assert targets == {f"file:{source} ({each.revision})" for each in (first, second)}


async def test_a_repaired_revision_is_no_newer_than_it_was(store: ModelStore, source: Path) -> None:
    old = await pulled(store, source)
    new = await pulled(store, source, b"GGUF, newer")
    write_files(source.parent, {source.name: GGUF})
    spoil(old)
    found = await verify_models(store, "", repair=True)
    assert [repaired for _, repaired in found.faults] == [True]
    assert await store.get(store.reference(f"file:{source}")) == new


async def test_one_entry_that_names_no_model_does_not_stop_the_others(
    store: ModelStore, source: Path
) -> None:
    model = await pulled(store, source)
    other = await pulled(store, source.with_name("other.gguf"), b"GGUF, other")
    write_files(model.folder, {FILE_NAME: to_yaml(replace(model, reference="no\tmodel")).encode()})
    spoil(model)
    spoil(other)
    found = await verify_models(store, "", repair=True)
    assert sorted(repaired for _, repaired in found.faults) == [False, True]


async def test_an_entry_that_cannot_be_read_is_mended_if_it_is_named(
    store: ModelStore, source: Path
) -> None:
    model = await pulled(store, source)
    write_files(model.folder, {FILE_NAME: b"\xff"})
    for text in ("", f"file:{source}"):
        found = await verify_models(store, text, repair=False)
        assert [(fault.path, repaired) for fault, repaired in found.faults] == [(FILE_NAME, False)]
    found = await verify_models(store, f"file:{source}", repair=True)
    assert [repaired for _, repaired in found.faults] == [True]
    assert (await verify_models(store, f"file:{source}", repair=False)).faults == ()


async def test_an_entry_that_cannot_be_read_is_told_beside_a_revision_that_is_whole(
    store: ModelStore, source: Path
) -> None:
    old = await pulled(store, source)
    await pulled(store, source, b"GGUF, newer")
    (old.folder / FILE_NAME).unlink()
    found = await verify_models(store, f"file:{source}", repair=False)
    assert (found.model_count, [fault.path for fault, _ in found.faults]) == (1, [FILE_NAME])


async def test_a_prune_removes_old_revisions_and_what_broken_pulls_left(
    store: ModelStore, source: Path
) -> None:
    old = await pulled(store, source)
    new = await pulled(store, source, b"GGUF, newer")
    other = await pulled(store, source.with_name("other.gguf"))
    root = store.catalog.root
    write_files(root / f"{STAGING_PREFIX}1", {"half": b"12345"})
    (root / f"{STAGING_PREFIX}1.lock").touch()
    wanted = [(old.folder, old.size_bytes + (old.folder / FILE_NAME).stat().st_size)]
    wanted += [(root / f"{STAGING_PREFIX}1", 5)]
    assert await prune(store, in_use=(), dry_run=True) == wanted
    assert old.folder.is_dir()
    with store.catalog.staging() as living:
        assert await prune(store, in_use=(), dry_run=False) == wanted
        assert living.is_dir()
    assert names(root) == sorted([new.folder.name, other.folder.name])
    assert await prune(store, in_use=(), dry_run=False) == []


async def test_a_prune_leaves_what_a_worker_uses(store: ModelStore, source: Path) -> None:
    old = await pulled(store, source)
    await pulled(store, source, b"GGUF, newer")
    assert await prune(store, in_use=[old.folder], dry_run=False) == []
    assert old.folder.is_dir()


async def test_a_prune_leaves_the_newest_that_is_whole(store: ModelStore, source: Path) -> None:
    oldest = await pulled(store, source)
    whole = await pulled(store, source, b"GGUF, newer")
    damaged = await pulled(store, source, b"GGUF, newest")
    spoil(damaged, b"cut")
    pruned = await prune(store, in_use=(), dry_run=False)
    assert [path for path, _ in pruned] == [oldest.folder]
    assert await store.find(store.reference(f"file:{source}")) == whole


async def test_a_file_is_taken_in_once(store: ModelStore, makers: Makers, source: Path) -> None:
    model, was_here = await take_in(store, str(source), weights="exact")
    assert (model.reference, was_here) == (f"file:{source}#exact", False)
    assert await take_in(store, str(source), weights="exact") == (model, True)
    assert makers.conversions == ["exact"]


async def test_a_path_that_names_nothing_or_no_model_is_told(
    store: ModelStore, tmp_path: Path
) -> None:
    with pytest.raises(InvalidArgumentError, match="is not an absolute path"):
        await take_in(store, "tiny.gguf", weights="")
    for name in ("none", "none.gguf", "notes"):
        write_files(tmp_path / "notes", {"README.md": b"hello"})
        with pytest.raises(RbeeError) as caught:
            await take_in(store, str(tmp_path / name), weights="")
        assert caught.value.hint
    assert names(store.catalog.root) == []


async def test_a_folder_is_taken_in_and_linked(store: ModelStore, tmp_path: Path) -> None:
    mine = write_files(tmp_path / "mine", {**ONNX, "rbee.json": described()})
    model, was_here = await take_in(store, str(mine), weights="")
    assert (model.reference, was_here) == (f"file:{mine}", False)
    assert (model.folder / GRAPH).samefile(mine / GRAPH)


async def test_an_entry_of_a_store_keeps_its_name_and_its_time(
    store: ModelStore, makers: Makers, tmp_path: Path, source: Path
) -> None:
    entry = await entry_of(tmp_path, makers, source)
    write_files(
        entry.folder, {FILE_NAME: to_yaml(replace(entry, reference="hf:org/tiny#exact")).encode()}
    )
    with telling() as told:
        model, was_here = await take_in(store, str(entry.folder), weights="")
    assert (model.reference, was_here) == ("hf:org/tiny#exact", False)
    assert replace(model, reference=entry.reference, folder=entry.folder) == entry
    assert (await take_in(store, str(entry.folder), weights=""))[1]
    assert makers.conversions == [""], "it is converted already"
    assert told.actions == ["model_link", "model_hash"]
    assert await store.get(store.reference("org/tiny#exact")) == model


async def test_an_entry_of_a_file_is_named_by_where_it_lies_here(
    store: ModelStore, makers: Makers, tmp_path: Path, source: Path
) -> None:
    entry = await entry_of(tmp_path, makers, source)
    model, _ = await take_in(store, str(entry.folder), weights="")
    assert (model.reference, model.files) == (f"file:{entry.folder}", entry.files)
    assert await store.get(store.reference(f"file:{entry.folder}")) == model


async def test_an_entry_that_is_not_what_its_hashes_say_is_refused(
    store: ModelStore, makers: Makers, tmp_path: Path, source: Path
) -> None:
    entry = await entry_of(tmp_path, makers, source)
    spoil(entry)
    with pytest.raises(RbeeError, match="the SHA-256 of `model") as caught:
        await take_in(store, str(entry.folder), weights="")
    assert caught.value.reason == "HASH_MISMATCH"
    spoil(entry, b"cut")
    with pytest.raises(MetadataDamagedError, match="has 3 bytes, not 7") as caught:
        await take_in(store, str(entry.folder), weights="")
    assert "copy the folder" in caught.value.hint
    (entry.folder / GRAPH).unlink()
    with pytest.raises(MetadataDamagedError, match="is gone"):
        await take_in(store, str(entry.folder), weights="")
    assert names(store.catalog.root) == []


async def test_an_entry_that_leads_out_of_its_folder_is_refused(
    store: ModelStore, makers: Makers, tmp_path: Path, source: Path
) -> None:
    entry = await entry_of(tmp_path, makers, source)
    (entry.folder / GRAPH).rename(tmp_path / "secret")
    (entry.folder / GRAPH).symlink_to(tmp_path / "secret")
    with pytest.raises(RbeeError, match="leads out of its folder"):
        await take_in(store, str(entry.folder), weights="")
    assert names(store.catalog.root) == []


@pytest.mark.parametrize("text", [b"\xff\xfe", b"", b"format: 2", b"[" * 100_000, b"x" * 2_000_000])
async def test_an_entry_whose_metadata_is_damaged_is_one_error(
    store: ModelStore, tmp_path: Path, text: bytes
) -> None:
    folder = write_files(tmp_path / "entry", {FILE_NAME: text})
    with pytest.raises(MetadataDamagedError):
        await take_in(store, str(folder), weights="")
    assert names(store.catalog.root) == []
