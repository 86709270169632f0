import os
from pathlib import Path

import pytest

from rbee_keeper.here import PathUnclearError, as_reference, named, placed

FILES = ("model.gguf", "MODEL.GGUF", "sub/model.gguf", "odd#exact.gguf", "model.gguf#f32")


def reference(word: str) -> str:
    return as_reference(
        word, absolute=lambda path: os.path.normpath(f"/here/{path}"), is_file=FILES.__contains__
    )


@pytest.mark.parametrize(
    ("word", "path"),
    [
        ("./model", "/here/model"),
        ("../model.gguf", "/model.gguf"),
        ("./a/../b.gguf", "/here/b.gguf"),
        (".", "/here"),
        ("..", "/"),
        ("model.gguf", "/here/model.gguf"),
        ("MODEL.GGUF", "/here/MODEL.GGUF"),
        ("sub/model.gguf", "/here/sub/model.gguf"),
        ("odd#exact.gguf", "/here/odd#exact.gguf"),
        ("./with space:and@at", "/here/with space:and@at"),
    ],
)
def test_a_path_becomes_a_reference(word: str, path: str) -> None:
    assert reference(word) == f"file:{path}"


@pytest.mark.parametrize("weights", ["#int8", "#exact", "#f32"])
def test_how_it_is_converted_stays_at_the_end(weights: str) -> None:
    assert reference(f"./model{weights}") == f"file:/here/model{weights}"
    assert reference(f"model.gguf{weights}") == f"file:/here/model.gguf{weights}"
    assert reference(f"smollm2{weights}") == f"smollm2{weights}"


@pytest.mark.parametrize(
    "word",
    [
        "",
        "smollm2",
        "org/repo",
        "org/repo:model.gguf",
        "absent.gguf",
        "hf:org/repo@main:model.gguf",
        "https://huggingface.co/org/repo",
        "file:model.gguf",
        "file:~/model.gguf",
        "pypi:package==1:model.gguf",
        ".hidden",
        "~somebody/model.gguf",
        "model.gguf#q4",
    ],
)
def test_what_is_no_path_stays_as_it_is(word: str) -> None:
    assert reference(word) == word


def test_a_path_is_relative_to_where_the_person_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", "/home/ada")
    assert named("./a.gguf#exact", "") == f"file:{tmp_path}/a.gguf#exact"
    assert named("a.gguf", "") == "a.gguf"
    Path("a.gguf").touch()
    assert named("a.gguf", "localhost") == f"file:{tmp_path}/a.gguf"
    assert named("~/a.gguf", "") == "file:/home/ada/a.gguf"
    assert named("/a/../b", "") == "file:/b"
    assert placed("a folder", "") == f"{tmp_path}/a folder"
    assert named("x" * 5_000 + ".gguf", "").startswith("xxx")


def test_a_link_keeps_its_name(tmp_path: Path) -> None:
    (tmp_path / "blob").touch()
    link = tmp_path / "model.gguf"
    link.symlink_to("blob")
    assert named(str(link), "") == f"file:{link}"


def test_a_path_on_another_machine_is_that_machines(monkeypatch: pytest.MonkeyPatch) -> None:
    for word in ("./a.gguf", "~/a.gguf", "/a.gguf"):
        assert named(word, "attic") == placed(word, "attic") == word


def test_a_folder_that_is_gone_is_an_error_for_relative_paths_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "gone"
    folder.mkdir()
    monkeypatch.chdir(folder)
    folder.rmdir()
    assert named("smollm2", "") == "smollm2"
    assert named("/a.gguf", "") == "file:/a.gguf"
    with pytest.raises(PathUnclearError, match="not there"):
        named("./a.gguf", "")


def test_the_home_of_nobody_is_an_error() -> None:
    with pytest.raises(PathUnclearError):
        placed("~no-such-user-here/a.gguf", "")
