"""Which files of a repository are fetched, of the layouts that are about, and what is refused."""

import pytest

from rbee_hive.sources.choice import (
    ChoiceAmbiguousError,
    ChoiceNotFoundError,
    FormatUnknownError,
    Layout,
    ModelSplitError,
)
from rbee_hive.sources.choose import (
    CHOSEN_FILES_MAX,
    TooManyFilesError,
    WeightsUnsupportedError,
    choose,
)
from rbee_hive.sources.listing import LISTED_FILES_MAX
from rbee_shared.errors import RbeeError
from rbee_shared.references.reference import HubReference, refined
from rbee_shared.references.safe_path import HostileNameError
from tests.listings import (
    GENAI,
    GENAI_PARTS,
    GGUF,
    OURS,
    TRANSFORMERS,
    chosen,
    hub,
    kinds_of,
    listing,
    paths_of,
)


def test_of_gguf_files_the_one_of_8_bits_is_first_and_others_follow_in_order() -> None:
    choice = chosen(GGUF)
    assert (choice.layout, choice.main) == (Layout.GGUF, "Tiny-1B.Q8_0.gguf")
    assert paths_of(choice) == [choice.main]
    assert "nothing is lost" in choice.files[0].reason
    order = ["Q8_0", "Q6_K", "Q5_K_S", "Q4_K_M", "Q4_0", "BF16", "F16"]
    assert kinds_of(choice)[:7] == order
    assert set(kinds_of(choice)[7:]) == {"UD-Q4_K_XL", "Q3_K_M", "Q2_K", "IQ4_XS"}
    assert all(each.reason for each in choice.candidates)


def test_what_is_in_no_order_goes_by_size() -> None:
    repo = listing("a-Q2_K.gguf", "a-Q3_K_L.gguf", "a-IQ2_S.gguf", **{"a-Q3_K_L": 999})
    reference = HubReference("org/repo")
    found = choose(repo, reference)
    assert kinds_of(found) == ["Q3_K_L", "IQ2_S", "Q2_K"]


@pytest.mark.parametrize(
    ("choice", "main"),
    [
        (":Q4_K_M", "Tiny-1B-Q4_K_M.gguf"),
        (":q4_k_m", "Tiny-1B-Q4_K_M.gguf"),
        (":UD-Q4_K_XL", "tiny-1b-UD-Q4_K_XL.gguf"),
        (":fp16", "Tiny-1B-F16.gguf"),
        (":f16", "Tiny-1B-F16.gguf"),
        (":Tiny-1B-IQ4_XS.gguf", "Tiny-1B-IQ4_XS.gguf"),
        (":mmproj-F16.gguf", "mmproj-F16.gguf"),
        ("#exact", "Tiny-1B.Q8_0.gguf"),
        (":Q4_0#exact", "Tiny-1B-Q4_0.gguf"),
        ("#f32", "Tiny-1B-BF16.gguf"),
    ],
)
def test_a_gguf_file_is_chosen_by_its_quantisation_or_its_name(choice: str, main: str) -> None:
    assert chosen(GGUF, choice).main == main


def test_of_one_quantisation_the_shortest_path_is_meant() -> None:
    paths = ("x-Q8_0.gguf", "more/x-Q8_0.gguf")
    assert chosen(paths, ":Q8_0").main == "x-Q8_0.gguf"
    assert chosen(paths, ":more/").main == "more/x-Q8_0.gguf"


def test_where_nothing_tells_two_files_apart_both_are_named() -> None:
    with pytest.raises(ChoiceAmbiguousError) as caught:
        chosen(("a-Q8_0.gguf", "b-Q8_0.gguf", "a-Q6_K.gguf"))
    assert "`a-Q8_0.gguf`, `b-Q8_0.gguf`" in caught.value.hint


def test_a_model_in_parts_is_passed_over_and_refused_by_name() -> None:
    parts = tuple(f"Q8_0/x-Q8_0-{number:05}-of-00002.gguf" for number in (1, 2))
    assert chosen((*parts, "x-Q6_K.gguf")).main == "x-Q6_K.gguf"
    for choice in (":Q8_0", f":{parts[1]}", ":Q8_0/"):
        with pytest.raises(ModelSplitError, match="one of 2 parts") as caught:
            chosen((*parts, "x-Q6_K.gguf"), choice)
        assert caught.value.hint == "there is `Q6_K`"
    with pytest.raises(ModelSplitError) as caught:
        chosen(parts)
    assert "--merge" in caught.value.hint
    assert chosen(("x-Q8_0-00001-of-00001.gguf",)).main


def test_what_rbee_converted_is_taken_as_it_is() -> None:
    choice = chosen((*OURS, *GGUF, *TRANSFORMERS))
    assert (choice.layout, choice.main) == (Layout.RBEE, "rbee.json")
    assert sorted(paths_of(choice)) == sorted([*OURS[:4], "LICENSE"])


def test_layouts_have_an_order_and_each_can_be_asked_for() -> None:
    paths = (*GGUF, *GENAI, *TRANSFORMERS)
    assert chosen(paths).layout is Layout.GGUF
    assert chosen(paths, ":q8").layout is Layout.TRANSFORMERS
    assert chosen(paths, ":cuda/").layout is Layout.GENAI
    assert chosen((*GENAI, *TRANSFORMERS)).layout is Layout.GENAI
    assert {each.path.split("/")[0] for each in chosen(paths).candidates} >= {"onnx", "cuda"}


def test_weights_are_for_what_is_converted() -> None:
    assert chosen((*OURS, *GGUF), "#exact").layout is Layout.GGUF
    with pytest.raises(WeightsUnsupportedError, match="is ONNX already"):
        chosen(TRANSFORMERS, "#exact")


@pytest.mark.parametrize(
    ("paths", "choice", "message", "hint"),
    [
        (GGUF, ":Q5_1", "has no `Q5_1`", "there are `Q8_0`, `Q6_K`"),
        (TRANSFORMERS, ":Q8_0", "has no `Q8_0`", "there are `q8`"),
        (GGUF, ":Tiny-1B-Q8_0.gguf", "has no model", "did you mean `Tiny-1B.Q8_0.gguf`?"),
        (GGUF, ":zzz/", "has no model `zzz/`", "there are `Tiny-1B.Q8_0.gguf`"),
    ],
)
def test_what_is_not_there_is_told_with_what_is(
    paths: tuple[str, ...], choice: str, message: str, hint: str
) -> None:
    with pytest.raises(ChoiceNotFoundError, match=message) as caught:
        chosen(paths, choice)
    assert hint in caught.value.hint


def test_a_repository_without_a_model_for_rbee_is_told_what_it_has() -> None:
    with pytest.raises(FormatUnknownError, match=r"it has `\.safetensors`") as caught:
        chosen(("config.json", "model.safetensors", "README.md"))
    assert "-GGUF" in caught.value.hint
    with pytest.raises(FormatUnknownError):
        chosen(())
    with pytest.raises(FormatUnknownError, match="is no model"):
        chosen((*GGUF, "d/x.json"), ":d/x.json")
    with pytest.raises(FormatUnknownError, match=r"`README\.md` of `org/repo` is no model"):
        choose(listing(*GGUF), hub(refined(HubReference("org/repo"), file="README.md")))


def test_a_file_whose_name_leads_out_is_not_taken_and_not_shown() -> None:
    with pytest.raises(HostileNameError):
        chosen(("../x-Q8_0.gguf", "x-Q6_K.gguf"))
    choice = chosen(("../x-Q6_K.gguf", "x-Q8_0.gguf", "y\u202e-Q4_0.gguf"))
    assert [each.path for each in choice.candidates] == ["x-Q8_0.gguf"]
    with pytest.raises(HostileNameError):
        chosen((*GENAI_PARTS, "metadata.yaml"))
    with pytest.raises(HostileNameError):
        chosen((*GENAI_PARTS, "MODEL.onnx"))


def test_more_files_than_a_model_has_are_refused() -> None:
    with pytest.raises(TooManyFilesError):
        chosen(tuple(f"{number}.gguf" for number in range(LISTED_FILES_MAX + 1)))
    with pytest.raises(TooManyFilesError):
        chosen((*GENAI_PARTS, *(f"{number}.json" for number in range(CHOSEN_FILES_MAX))))


@pytest.mark.timeout(10)
@pytest.mark.parametrize(
    "shape",
    [
        "{0}/genai_config.json",
        "onnx/model_{0}.onnx",
        "{0}-Q8_0.gguf",
        "{0}/rbee.json",
        "LICENSE-{0}",
    ],
)
def test_a_repository_made_to_cost_time_costs_little(shape: str) -> None:
    paths = tuple(shape.format(number) for number in range(LISTED_FILES_MAX))
    with pytest.raises(RbeeError) as caught:
        chosen(paths)
    assert caught.value.hint
    assert len(str(caught.value)) + len(caught.value.hint) < 1_000
