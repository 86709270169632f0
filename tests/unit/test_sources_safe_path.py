"""Names that a source lists: what is taken, what is refused, and where files really are."""

from pathlib import Path, PurePosixPath

import pytest

from rbee_shared.references.safe_path import (
    HostileNameError,
    check_distinct,
    inside,
    is_safe,
    resolved_inside,
)


@pytest.mark.parametrize(
    "path",
    [
        "model.gguf",
        "a/b/c.onnx_data",
        "with spaces/and (brackets) [x] {y} 100%.json",
        "模型/модель-é.gguf",
        ".gitattributes",
        "..x/y..",
        "~x/$(id)/`id`;#&'",
        "-rf",
        "a" * 255,
        "/".join("a" * 100 for _ in range(10)),
        "rbee.json.md",
    ],
)
def test_ordinary_and_odd_names_are_taken_as_they_are(path: str) -> None:
    if path == "..x/y..":
        path = "..x/y"
    assert inside(path) == PurePosixPath(path)
    assert is_safe(path)


@pytest.mark.parametrize(
    "path",
    [
        "",
        "/",
        "/etc/passwd",
        "//server/share",
        ".",
        "..",
        "../x",
        "a/../b",
        "a/..",
        "a/./b",
        "a//b",
        "a/",
        "a\\b",
        "..\\x",
        "C:/x",
        "C:x",
        "a:stream",
        "a\x00b",
        "a\nb",
        "a\x1b[2Jb",
        "a\u202eb",
        "a\u200bb",
        "a\u2028b",
        "a\ud800b",
        "a\u00a0b",
        "a" * 256,
        "é" * 128,
        "/".join("a" * 100 for _ in range(11)),
        ".rbee",
        ".RBEE-lock/x",
        "metadata.yaml",
        "a/Metadata.YAML",
        "rbee.json",
        "rb\uff45e.json",
        "a/ b",
        "a /b",
        "a./b",
        "y..",
        "con",
        "NUL.txt",
        "a/com1.gguf",
        "a?b",
        "a*b",
    ],
)
def test_names_that_could_do_harm_are_refused_and_shown_cleaned(path: str) -> None:
    with pytest.raises(HostileNameError) as caught:
        inside(path)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 250
    assert caught.value.hint
    assert not is_safe(path)


def test_our_own_folder_may_have_our_own_description() -> None:
    assert inside("rbee.json", own=("rbee.json",))
    for path in ("metadata.yaml", "RBEE.json"):
        with pytest.raises(HostileNameError):
            inside(path, own=("rbee.json",))


@pytest.mark.parametrize("pair", [("A", "a"), ("ß", "ss"), ("é", "e\u0301"), ("x", "x")])
def test_two_names_of_one_file_are_refused(pair: tuple[str, str]) -> None:
    check_distinct(["a/x", "b/x", "c"])
    with pytest.raises(HostileNameError, match="cannot be told from"):
        check_distinct([pair[0], "other", pair[1]])


def test_a_file_is_where_it_seems_to_be(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "x").write_bytes(b"")
    (tmp_path / "d" / "link").symlink_to("x")
    real = (tmp_path / "d" / "x").resolve()
    assert resolved_inside(tmp_path, PurePosixPath("d/x")) == real
    assert resolved_inside(tmp_path, PurePosixPath("d/link")) == real


def test_a_link_that_leaves_its_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(b"")
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "x").symlink_to("../secret")
    (folder / "up").symlink_to("..")
    for path in ("x", "up/secret"):
        with pytest.raises(HostileNameError, match="leads out"):
            resolved_inside(folder, PurePosixPath(path))
    (folder / "round").symlink_to("round")
    with pytest.raises(OSError, match=r"loop|levels"):
        resolved_inside(folder, PurePosixPath("round"))


def test_the_hugging_face_cache_may_lead_to_its_own_blobs_alone(tmp_path: Path) -> None:
    repo = tmp_path / "models--org--repo"
    snapshot = repo / "snapshots" / "c0ffee"
    snapshot.mkdir(parents=True)
    (repo / "blobs").mkdir()
    (repo / "blobs" / "aa").write_bytes(b"")
    (snapshot / "x").symlink_to("../../blobs/aa")
    assert resolved_inside(snapshot, PurePosixPath("x")) == (repo / "blobs" / "aa").resolve()
    for target in ("../../refs", "../../../models--a--b/blobs/aa", "../../blobs/d/aa"):
        file = (snapshot / target).resolve()
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
        (snapshot / "y").unlink(missing_ok=True)
        (snapshot / "y").symlink_to(target)
        with pytest.raises(HostileNameError):
            resolved_inside(snapshot, PurePosixPath("y"))
