"""Names of folders: safe on every file system, one for each revision of each model."""

import fnmatch
from pathlib import Path

import pytest

from rbee_shared.references.reference import (
    Reference,
    folder_name,
    folder_prefix,
    parse as parse_full,
)

COMMIT = "0123456789abcdef0123456789abcdef01234567"


def parse(text: str) -> Reference:
    return parse_full(text, home=Path("/home/bee"))


@pytest.mark.parametrize(
    "text",
    [
        "smollm2",
        "smollm2#exact",
        "org/repo",
        "org/repo@refs/pr/1:in side/模型.gguf#f32",
        f"{'o' * 96}/{'r' * 96}:UD-Q4_K_XL",
        "pypi:a==1:in/side.gguf",
        "file:/a/b.gguf",
        "file:/",
        "file:/päth/模型.gguf",
        "file:/" + "x" * 400,
        "file:/.hidden",
        "file:/[a-z]*?.gguf",
    ],
)
@pytest.mark.parametrize("revision", [COMMIT, "0.1.2", "a/../b", "é", "x" * 300, "", "v1."])
def test_a_folder_name_is_safe_and_short(text: str, revision: str) -> None:
    name = folder_name(parse(text), revision)
    assert name.isascii()
    assert not set(name) & set('/\\: ~*?[]#<>|"')
    assert not name.startswith(".")
    assert not name.endswith((".", "@"))
    assert len(name) < 100


def test_a_folder_name_says_what_is_in_it() -> None:
    name = folder_name(parse("org/repo:d/x.Q8_0.gguf#exact"), COMMIT)
    assert name.startswith("hf-org-repo-x.Q8_0.gguf-exact-")
    assert name.endswith("@0123456789ab")
    assert folder_name(parse("smollm2"), "0.1.2").endswith("@0.1.2")


def test_models_of_the_same_words_have_folders_of_their_own() -> None:
    texts = [
        "file:/a/x.gguf",
        "file:/b/x.gguf",
        "file:/b/X.gguf",
        "file:/b/x.gguf#exact",
        "pypi:a==1:b/x.gguf",
        "pypi:a==1:c/x.gguf",
        "org/repo",
        "Org/repo",
        "org/repo@v1",
        "org/repo:Q8_0",
        "org/repo:q8",
    ]
    for fold in (str, str.casefold):
        names = {fold(folder_name(parse(text), "1")) for text in texts}
        assert len(names) == len(texts)


def test_revisions_have_folders_of_their_own_on_every_file_system() -> None:
    revisions = ["a", "A", "a/b", "a-b", "", "1.0.0.dev20260101", "1.0.0.dev20260102", "1.", "1"]
    names = {folder_name(parse("org/repo"), each).casefold() for each in revisions}
    assert len(names) == len(revisions)


def test_all_revisions_of_a_model_and_no_other_are_found_by_its_prefix() -> None:
    pattern = f"{folder_prefix(parse('org/repo'))}*"
    assert fnmatch.fnmatchcase(folder_name(parse("hf:org/repo"), COMMIT), pattern)
    assert fnmatch.fnmatchcase(folder_name(parse("hf:org/repo"), "v2"), pattern)
    assert not fnmatch.fnmatchcase(folder_name(parse("hf:org/repo:Q8_0"), COMMIT), pattern)
