"""Where the files of a choice lie in a model."""

import pytest

from rbee_hive.models.material import places_of
from rbee_hive.sources.choice import Choice, ChosenFile, Layout
from rbee_hive.sources.listing import ListedFile


def places(layout: Layout, main: str, *paths: str) -> dict[str, str]:
    files = tuple(ChosenFile(ListedFile(path, 1), "") for path in paths)
    return places_of(Choice(layout, main, "", files, ()))


@pytest.mark.parametrize("layout", [Layout.GENAI, Layout.RBEE])
def test_a_folder_of_a_repository_is_the_top_of_its_model(layout: Layout) -> None:
    found = places(layout, "cpu/int4/a.json", "cpu/int4/a.json", "cpu/int4/b/c.onnx", "LICENSE")
    assert found == {
        "cpu/int4/a.json": "a.json",
        "cpu/int4/b/c.onnx": "b/c.onnx",
        "LICENSE": "LICENSE",
    }


def test_a_model_at_the_top_stays_there() -> None:
    assert places(Layout.GENAI, "a.json", "a.json", "b.onnx") == {
        "a.json": "a.json",
        "b.onnx": "b.onnx",
    }


def test_a_licence_from_elsewhere_gives_way_to_the_models_own() -> None:
    found = places(Layout.GENAI, "cpu/a.json", "cpu/a.json", "cpu/license", "LICENSE")
    assert found == {"cpu/a.json": "a.json", "cpu/license": "license"}


def test_what_transformers_has_in_folders_stays_in_them() -> None:
    found = places(Layout.TRANSFORMERS, "onnx/model.onnx", "onnx/model.onnx", "config.json")
    assert found == {"onnx/model.onnx": "onnx/model.onnx", "config.json": "config.json"}
