"""Revisions of one model in the catalogue: which is found, which is old, and what is noticed."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from rbee_hive.models import catalog as catalogs
from rbee_hive.models.catalog import LOCK_SUFFIX, STAGING_PREFIX, Catalog, read_entry, superseded
from rbee_hive.models.metadata import FILE_NAME, MetadataDamagedError, StoredModel, to_yaml
from rbee_shared.references.reference import HubReference, PypiReference, folder_name
from tests.stores import ONNX, write_files
from tests.unit.test_models_metadata import MODEL

TINY, OTHER = HubReference("org/tiny"), HubReference("org/tiny", weights="exact")
Place = Callable[..., StoredModel]


@pytest.fixture
def catalog(tmp_path: Path) -> Catalog:
    return Catalog(tmp_path)


@pytest.fixture
def place(catalog: Catalog) -> Place:
    def placed(revision: str, at_s: float, reference: HubReference = TINY) -> StoredModel:
        with catalog.staging() as staging:
            write_files(staging / "model", ONNX)
            model = replace(
                MODEL,
                folder=catalog.folder_for(reference, revision),
                reference=reference.text,
                revision=revision,
                create_time_s=at_s,
                files=tuple(
                    replace(MODEL.files[0], path=path, size_bytes=len(data), sha256=path * 2)
                    for path, data in sorted(ONNX.items())
                ),
            )
            return catalog.place(staging / "model", model)

    return placed


def test_the_newest_is_found_and_any_by_its_revision(catalog: Catalog, place: Place) -> None:
    new, old = place("b", 20.0), place("a", 10.0)
    other = place("c", 30.0, OTHER)
    assert catalog.find(TINY) == new
    assert catalog.find(TINY, "a") == old
    assert catalog.find(TINY, "c") is None
    assert catalog.find(PypiReference("x", "1")) is None
    assert catalog.revisions_of(TINY) == [new, old]
    assert catalog.entries() == ((new, old, other), ())
    assert superseded(catalog.entries()[0]) == (old,)


def test_the_older_one_is_found_while_the_newest_is_damaged(catalog: Catalog, place: Place) -> None:
    old, new = place("a", 10.0), place("b", 20.0)
    (new.folder / "tokenizer.json").unlink()
    assert catalog.find(TINY) == old
    with pytest.raises(MetadataDamagedError, match=r"`tokenizer\.json` is gone"):
        catalog.find(TINY, "b")
    models, [fault] = catalog.entries()
    assert (models, fault.reference, fault.path) == ((old,), TINY.text, "tokenizer.json")
    assert catalog.revisions_of(TINY) == [new, old], "it still says what it is"


def test_an_entry_that_says_nothing_is_a_fault_by_the_name_of_its_folder(
    catalog: Catalog, place: Place
) -> None:
    old, new = place("a", 10.0), place("b", 20.0)
    (new.folder / FILE_NAME).write_bytes(b"\xff")
    models, [fault] = catalog.readable()
    assert models == [old]
    assert (fault.reference, fault.path) == (new.folder.name, FILE_NAME)
    assert fault.message.endswith("is no text")
    assert catalog.revisions_of(TINY) == [old]
    assert catalog.folders_of(TINY) == [old.folder, new.folder]
    with pytest.raises(MetadataDamagedError, match="is no text"):
        read_entry(new.folder)
    with pytest.raises(MetadataDamagedError, match="No such file"):
        read_entry(catalog.root / "none")


def test_metadata_is_read_again_once_it_is_another(catalog: Catalog, place: Place) -> None:
    model = place("a", 10.0)
    assert catalog.find(TINY) == catalog.find(TINY) == model
    changed = replace(model, alias="mine")
    file = model.folder / FILE_NAME
    file.write_text(to_yaml(changed))
    assert catalog.find(TINY) == changed
    place("a", 10.0)
    assert catalog.find(TINY) == model
    file.unlink()
    assert catalog.entries()[0] == ()
    assert [fault.path for fault in catalog.entries()[1]] == [FILE_NAME]


def test_what_is_kept_of_parsed_texts_has_a_limit(
    catalog: Catalog, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(catalogs, "PARSED_KEPT_MAX", 2)
    placed = {place(revision, 10.0) for revision in ("a", "b", "c", "d")}
    for _ in range(2):
        assert set(catalog.entries()[0]) == placed


def test_holders_are_by_hash_whether_they_are_whole_or_not(catalog: Catalog, place: Place) -> None:
    model = place("a", 10.0)
    (model.folder / "model.onnx").unlink()
    assert catalog.holders() == {file.sha256: model.folder / file.path for file in model.files}


def test_a_revision_is_renewed_only_if_another_is_newer(catalog: Catalog, place: Place) -> None:
    old, new = place("a", 10.0), place("b", 20.0)
    assert catalog.renewed(TINY, new, 30.0) == new
    renewed = catalog.renewed(TINY, old, 30.0)
    assert renewed == replace(old, create_time_s=30.0) == catalog.find(TINY)


def test_a_removed_entry_is_gone_and_removing_again_is_nothing(
    catalog: Catalog, place: Place
) -> None:
    model = place("a", 10.0)
    catalog.remove(model.folder)
    catalog.remove(model.folder)
    assert list(catalog.root.iterdir()) == []


def test_a_folder_says_its_model_and_revision(catalog: Catalog) -> None:
    folder = catalog.folder_for(TINY, "a")
    assert (folder.parent, folder.name) == (catalog.root, folder_name(TINY, "a"))
    assert folder.name.startswith("hf-org-tiny-")
    assert folder.name.endswith("@a")


def test_a_staging_folder_is_abandoned_once_nobody_holds_it(catalog: Catalog) -> None:
    left = catalog.root / f"{STAGING_PREFIX}00"
    write_files(left, {"half": b"1"})
    lock_alone = catalog.root / f"{STAGING_PREFIX}11{LOCK_SUFFIX}"
    lock_alone.touch()
    with catalog.staging() as living:
        assert catalog.abandoned() == (left, lock_alone.with_suffix(""))
        assert catalog.sweep() == (left.name, lock_alone.stem)
        assert living.is_dir()
    assert list(catalog.root.iterdir()) == []


def test_a_block_that_fails_leaves_no_staging_folder(catalog: Catalog) -> None:
    def fail() -> None:
        with catalog.staging() as staging:
            write_files(staging, {"half": b"1"})
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert list(catalog.root.iterdir()) == []


def test_files_and_hidden_folders_are_no_entries(catalog: Catalog) -> None:
    write_files(catalog.root, {"a file": b"", ".hidden/metadata.yaml": b""})
    assert catalog.entries() == ((), ())


def test_a_root_that_is_gone_has_nothing(tmp_path: Path) -> None:
    gone = Catalog(tmp_path / "gone")
    assert gone.find(TINY) is None
    assert (gone.folders_of(TINY), gone.abandoned(), gone.sweep()) == ([], (), ())
    assert (gone.holders(), gone.converted("1", "int8/2")) == ({}, None)


def test_a_store_of_which_one_may_not_read_is_an_error_of_the_system(tmp_path: Path) -> None:
    write_files(tmp_path, {"file": b""})
    with pytest.raises(OSError, match="Not a directory"):
        Catalog(tmp_path / "file").entries()
