"""The store on disk: what is there is whole, or named as damaged, and never a traceback."""

import hashlib
from pathlib import Path

import pytest
import yaml

from rbee_hive.models import metadata
from rbee_hive.models.catalog import Catalog
from rbee_hive.models.description import Description
from rbee_hive.models.metadata import MetadataDamagedError, ModelFile, StoredModel
from rbee_hive.models.wire import fault_to_proto, model_to_proto
from rbee_shared.references.reference import FileReference, folder_name

WEIGHTS = b"weights" * 10
DESCRIPTION = Description(
    name="Tiny: a “model”",
    architecture="llama",
    quantization="int8-block32",
    licence="apache-2.0",
    parameter_count=135,
    context_length=2_048,
    layers=30,
    kv_heads=3,
    head_dim=64,
    layout="rbee",
    kv_value_bytes=4,
    has_chat_template=True,
)


def stored(catalog: Catalog, name: str = "tiny") -> StoredModel:
    reference = FileReference(Path(f"/data/{name}.gguf"))
    with catalog.staging() as staging:
        built = staging / "model"
        built.mkdir()
        (built / "model.onnx").write_bytes(WEIGHTS)
        (built / "tokenizer.json").write_bytes(b"{}")
        files = tuple(
            ModelFile(each.name, each.stat().st_size, hashlib.sha256(each.read_bytes()).hexdigest())
            for each in sorted(built.iterdir())
        )
        model = StoredModel(
            folder=catalog.root / folder_name(reference, "0.10"),
            reference=reference.text,
            alias="",
            source="file",
            revision="0.10",
            source_sha256="1" * 64,
            archive_sha256="",
            converter="int8-block32/1",
            create_time_s=1_760_000_000.25,
            files=files,
            description=DESCRIPTION,
        )
        return catalog.place(built, model)


def reference_of(model: StoredModel) -> FileReference:
    return FileReference(Path(model.reference.removeprefix("file:")))


@pytest.fixture
def catalog(tmp_path: Path) -> Catalog:
    return Catalog(tmp_path)


def test_a_model_comes_back_as_it_was_placed(catalog: Catalog) -> None:
    model = stored(catalog)
    assert catalog.find(reference_of(model)) == model
    assert catalog.entries() == ((model,), ())
    assert [each.name for each in catalog.root.iterdir()] == [model.folder.name]


def test_sizes_are_of_what_a_worker_loads(catalog: Catalog) -> None:
    model = stored(catalog)
    assert model.weights_bytes == len(WEIGHTS)
    assert model.size_bytes == len(WEIGHTS) + 2
    assert model.kv_bytes_per_token == 2 * 30 * 3 * 64 * 4


def test_a_model_goes_over_the_wire_with_its_files_only_when_asked(catalog: Catalog) -> None:
    model = stored(catalog)
    brief = model_to_proto(model, hive="attic")
    assert (brief.hive, brief.reference, brief.licence) == ("attic", model.reference, "apache-2.0")
    assert brief.required_memory_bytes > model.kv_bytes_per_token * 2_048
    assert brief.create_time.nanos == 250_000_000
    assert not brief.files
    assert len(model_to_proto(model, hive="attic", files=True).files) == 2


def test_placing_again_replaces(catalog: Catalog) -> None:
    model = stored(catalog)
    (model.folder / "stray").touch()
    assert catalog.find(reference_of(stored(catalog))) == model
    assert not (model.folder / "stray").exists()


def test_damaged_entries_are_skipped_and_told(catalog: Catalog) -> None:
    good, cut, gone = (stored(catalog, name) for name in ("good", "cut", "gone"))
    (cut.folder / "model.onnx").write_bytes(b"short")
    (gone.folder / "tokenizer.json").unlink()
    (catalog.root / "empty").mkdir()
    (catalog.root / "a file").touch()
    models, faults = catalog.entries()
    assert models == (good,)
    assert {(fault.reference, fault.path) for fault in faults} == {
        ("empty", "metadata.yaml"),
        (cut.reference, "model.onnx"),
        (gone.reference, "tokenizer.json"),
    }
    assert fault_to_proto(faults[0]).message
    with pytest.raises(MetadataDamagedError, match="has 5 bytes, not 70"):
        catalog.find(reference_of(cut))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "just words",
        "format: 2",
        "format: 1",
        "{{{",
        "a: &a [*a]",
        "!!python/object/apply:os.system ['true']",
        "[" * 5_000,
        "\0",
    ],
)
def test_damaged_metadata_is_one_error(catalog: Catalog, text: str) -> None:
    model = stored(catalog)
    (model.folder / metadata.FILE_NAME).write_text(text)
    with pytest.raises(MetadataDamagedError) as caught:
        catalog.find(reference_of(model))
    assert caught.value.hint


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("reference", 7),
        ("reference", None),
        ("created", "yesterday"),
        ("files", {}),
        ("files", [7]),
        ("files", [{"path": "../../x", "size_bytes": 1, "sha256": ""}]),
        ("files", [{"path": "/etc/passwd", "size_bytes": 1, "sha256": ""}]),
        ("files", [{"path": "x", "size_bytes": True, "sha256": ""}]),
        ("model", {}),
        ("model", "llama"),
    ],
)
def test_metadata_with_a_wrong_value_is_damaged(catalog: Catalog, key: str, value: object) -> None:
    model = stored(catalog)
    values = yaml.safe_load(metadata.to_yaml(model))
    text = yaml.safe_dump({**values, key: value})
    with pytest.raises(MetadataDamagedError):
        metadata.from_yaml(text, model.folder)


def test_an_entry_of_another_model_is_not_taken_for_this_one(catalog: Catalog) -> None:
    model, other = stored(catalog, "a"), stored(catalog, "b")
    catalog.remove(model.folder)
    other.folder.rename(model.folder)
    with pytest.raises(MetadataDamagedError, match="holds another model"):
        catalog.find(reference_of(model))


def test_the_same_file_converted_the_same_way_is_found(catalog: Catalog) -> None:
    model = stored(catalog)
    assert catalog.converted("1" * 64, "int8-block32/1") == model
    assert catalog.converted("1" * 64, "int4/1") is None
    assert catalog.converted("2" * 64, "int8-block32/1") is None


def test_what_a_broken_pull_left_is_swept_and_what_lives_is_not(catalog: Catalog) -> None:
    model = stored(catalog)
    broken = catalog.root / ".tmp-0011"
    broken.mkdir()
    (broken / "model.gguf").touch()
    (catalog.root / ".tmp-0011.lock").touch()
    with catalog.staging() as living:
        assert catalog.sweep() == (".tmp-0011",)
        assert living.is_dir()
    assert [each.name for each in catalog.root.iterdir()] == [model.folder.name]


def test_a_store_that_is_gone_has_no_models(tmp_path: Path) -> None:
    assert Catalog(tmp_path / "gone").entries() == ((), ())
