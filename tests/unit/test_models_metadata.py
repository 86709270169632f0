"""`metadata.yaml`: it comes back as it was written, and whatever else is in it is one error."""

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from rbee_hive.models import description
from rbee_hive.models.description import (
    CONTEXT_LENGTH_MAX,
    HEAD_DIM_MAX,
    HEADS_MAX,
    KV_VALUE_BYTES_MAX,
    LAYERS_MAX,
    Description,
    DescriptionDamagedError,
)
from rbee_hive.models.fields import COUNT_MAX, Fields
from rbee_hive.models.metadata import (
    FORMAT,
    MetadataDamagedError,
    ModelFile,
    StoredModel,
    from_yaml,
    to_yaml,
)
from rbee_hive.models.wire import model_to_proto
from rbee_shared.errors import DataLossError

FOLDER = Path("/models/x")
MODEL = StoredModel(
    folder=FOLDER,
    reference="hf:org/päth:模型.gguf#exact",
    alias="mine",
    source="hf",
    revision="0123456789abcdef0123456789abcdef01234567",
    source_sha256="1" * 64,
    archive_sha256="",
    converter="exact/2",
    create_time_s=1_760_000_000.25,
    files=(
        ModelFile("in side/model_q4.onnx_data", 7, "2" * 64),
        ModelFile("rbee.json", 0, "3" * 64),
    ),
    description=Description(
        name='Tiny: "a" # model\n- really',
        architecture="llama",
        quantization="int8-block32",
        licence="",
        parameter_count=135,
        context_length=2_048,
        layers=30,
        kv_heads=3,
        head_dim=64,
        layout="rbee",
        kv_value_bytes=4,
        has_chat_template=False,
    ),
)
LARGEST = replace(
    MODEL.description,
    parameter_count=COUNT_MAX,
    context_length=CONTEXT_LENGTH_MAX,
    layers=LAYERS_MAX,
    kv_heads=HEADS_MAX,
    head_dim=HEAD_DIM_MAX,
    kv_value_bytes=KV_VALUE_BYTES_MAX,
)


def changed(**values: object) -> str:
    """Return the text of MODEL with other values."""
    return yaml.safe_dump({**yaml.safe_load(to_yaml(MODEL)), **values})


def of_file(**values: object) -> str:
    """Return the text of MODEL with one file, of other values."""
    return changed(files=[{"path": "x", "size_bytes": 1, "sha256": "", **values}])


def of_model(**values: object) -> str:
    """Return the text of MODEL with other values of the description."""
    return changed(model={**asdict(MODEL.description), **values})


def without(key: str) -> str:
    """Return the text of MODEL without a key."""
    return yaml.safe_dump({k: v for k, v in yaml.safe_load(to_yaml(MODEL)).items() if k != key})


def test_a_model_comes_back_from_its_text() -> None:
    assert from_yaml(to_yaml(MODEL), FOLDER) == MODEL
    assert yaml.safe_load(to_yaml(MODEL))["format"] == FORMAT == 2


def test_people_can_read_the_text() -> None:
    text = to_yaml(MODEL)
    assert "reference: hf:org/päth:模型.gguf#exact\n" in text
    assert "created: '2025-10-09T08:53:20.250000+00:00'\n" in text


def test_keys_of_a_later_rbee_are_left_alone() -> None:
    assert from_yaml(changed(colour="blue", more={"a": [1]}), FOLDER) == MODEL


@pytest.mark.parametrize("key", list(yaml.safe_load(to_yaml(MODEL))))
def test_a_key_that_is_missing_is_damage_by_name(key: str) -> None:
    with pytest.raises(
        MetadataDamagedError, match=f"`metadata.yaml`.*{key}|{key}.*`metadata.yaml`"
    ):
        from_yaml(without(key), FOLDER)


@pytest.mark.parametrize("number", [1, FORMAT + 1, "2", None])
def test_another_format_is_not_read(number: object) -> None:
    with pytest.raises(MetadataDamagedError, match="is not 2"):
        from_yaml(changed(format=number), FOLDER)


@pytest.mark.parametrize(
    "path",
    [
        "",
        ".",
        "..",
        "a/../b",
        "./a",
        "a//b",
        "a/",
        "/etc/passwd",
        "a\\b",
        "a\0b",
        "a\nb",
        "x" * 300,
        "metadata.yaml",
        ".rbee-part",
        "CON",
        "a:b",
    ],
)
def test_a_file_of_a_name_that_no_model_has_is_damage(path: str) -> None:
    with pytest.raises(MetadataDamagedError, match="names a file that no model has"):
        from_yaml(of_file(path=path), FOLDER)


@pytest.mark.parametrize(
    "text",
    [
        of_file(size_bytes=-1),
        of_file(size_bytes=COUNT_MAX + 1),
        of_file(size_bytes=1.5),
        of_file(size_bytes="1"),
        of_file(sha256=7),
        of_model(parameter_count=COUNT_MAX + 1),
        of_model(context_length=CONTEXT_LENGTH_MAX + 1),
        of_model(layers=LAYERS_MAX + 1),
        of_model(kv_heads=HEADS_MAX + 1),
        of_model(head_dim=HEAD_DIM_MAX + 1),
        of_model(kv_value_bytes=KV_VALUE_BYTES_MAX + 1),
        of_model(layers=False),
        changed(created="0001-01-01T00:00:00"),
        changed(created=1_760_000_000),
        to_yaml(MODEL).replace("size_bytes: 7", "size_bytes: " + "7" * 5_000),
        to_yaml(MODEL).replace("size_bytes: 7", "size_bytes: .inf"),
        to_yaml(MODEL).replace("alias: mine", 'alias: "\\uD800"'),
        to_yaml(MODEL) + "---\n{}\n",
        to_yaml(MODEL) + "again: &a 1\nand: *a\n",
        to_yaml(MODEL) + "time: 2026-99-99\n",
        *(
            f"{to_yaml(MODEL)}x: !!{tag} '{text}'\n"
            for tag in ("int", "bool")
            for text in ("", "x")
        ),
        to_yaml(MODEL) + "x: !!timestamp x\n",
    ],
)
def test_a_value_that_cannot_be_is_damage(text: str) -> None:
    with pytest.raises(MetadataDamagedError, match="is malformed"):
        from_yaml(text, FOLDER)


@pytest.mark.parametrize("nest", ["[", "{a: ", "- ", "? ", "[" * 9])
def test_a_text_that_only_nests_ends_no_process(nest: str) -> None:
    with pytest.raises(MetadataDamagedError, match="is malformed"):
        from_yaml(nest * 100_000, FOLDER)


def test_the_largest_model_fits_into_a_message() -> None:
    files = tuple(ModelFile(f"{number}.onnx", COUNT_MAX, "") for number in range(10_000))
    message = model_to_proto(replace(MODEL, description=LARGEST, files=files), hive="attic")
    assert message.required_memory_bytes > COUNT_MAX


def described(**values: object) -> bytes:
    """Return an `rbee.json`."""
    named = {"parameters": 1, "chat_template": None, **asdict(MODEL.description)}
    return json.dumps({"format": description.FORMAT, **named, **values}).encode()


def test_a_description_is_read_by_key() -> None:
    found = description.parse(described(parameters=135, unknown=[1], chat_template="{{ x }}"))
    assert found == replace(MODEL.description, has_chat_template=True)


@pytest.mark.parametrize(
    ("values", "why"),
    [
        ({"name": "half \ud83d"}, "`name` is not a text"),
        ({"layers": 10**30}, f"`layers` is more than {LAYERS_MAX}"),
        ({"parameters": -1}, "`parameters` is not a count"),
        ({"head_dim": True}, "`head_dim` is not a count"),
    ],
)
def test_a_description_beyond_any_model_is_damage(values: dict[str, object], why: str) -> None:
    with pytest.raises(DescriptionDamagedError, match=why):
        description.parse(described(**values))


def test_a_fault_of_an_inner_mapping_says_where_it_is() -> None:
    values: Any = {"files": [{"size": "much"}], "model": 7, "empty": [], "no": 0}
    found = Fields(values, DataLossError)
    with pytest.raises(DataLossError, match="`files`: `size` is not a count"):
        found.each("files")[0].count("size")
    with pytest.raises(DataLossError, match="`model`: it is no mapping"):
        found.inner("model")
    with pytest.raises(DataLossError, match="`model` is not a list"):
        found.each("model")
    assert not any(found.is_true(key) for key in ("empty", "no", "missing"))
    assert found.is_value("model", 7)
    assert not found.is_value("model", 8)
