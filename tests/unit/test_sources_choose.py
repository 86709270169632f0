"""Which files of a repository are fetched, of the layouts that are about, and what is refused."""

from pathlib import Path

import pytest

from rbee_hive.sources.choice import (
    Choice,
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
from rbee_hive.sources.listing import LISTED_FILES_MAX, ListedFile, Listing
from rbee_shared.errors import RbeeError
from rbee_shared.references.reference import HubReference, Reference, parse, refined
from rbee_shared.references.safe_path import HostileNameError

GGUF = (
    ".gitattributes",
    "README.md",
    "imatrix_unsloth.gguf",
    "mmproj-F16.gguf",
    *(
        f"Tiny-1B-{kind}.gguf"
        for kind in ("IQ4_XS", "Q2_K", "Q3_K_M", "Q4_0", "Q4_K_M", "Q5_K_S", "Q6_K", "BF16", "F16")
    ),
    "Tiny-1B.Q8_0.gguf",
    "tiny-1b-UD-Q4_K_XL.gguf",
)
CONFIGS = ("config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json")
TRANSFORMERS = (
    "README.md",
    "LICENSE",
    "tokenizer.model",
    *CONFIGS,
    "onnx/model.onnx",
    "onnx/model.onnx_data",
    "onnx/model.onnx_data_1",
    "onnx/model_fp16.onnx",
    "onnx/model_fp16.onnx_data",
    "onnx/model_q4.onnx",
    "onnx/model_q4f16.onnx",
    "onnx/model_quantized.onnx",
    "onnx/model_int8.onnx",
    "onnx/model_bnb4.onnx",
)
GENAI_PARTS = ("genai_config.json", "model.onnx", "model.onnx.data", "tokenizer.json")
GENAI = (
    "LICENSE",
    "README.md",
    *(
        f"{folder}/{part}"
        for folder in (
            "cuda/cuda-int4-rtn-block-32",
            "cpu_and_mobile/cpu-int4-rtn-block-32",
            "cpu_and_mobile/cpu-int4-rtn-block-32-acc-level-4",
            "directml/directml-int4-awq-block-128",
        )
        for part in GENAI_PARTS
    ),
)
OURS = ("rbee.json", "model.onnx", "model.onnx.data", "tokenizer.json", "metadata.yaml")


def listing(*paths: str, **sizes: int) -> Listing:
    files = tuple(
        ListedFile(path, sizes.get(Path(path).stem, 100 + number), sha256="0" * 64)
        for number, path in enumerate(dict.fromkeys(paths))
    )
    return Listing("org/repo", "c" * 40, files)


def chosen(paths: tuple[str, ...], choice: str = "") -> Choice:
    return choose(listing(*paths), hub(parse(f"org/repo{choice}", home=Path("/"))))


def hub(reference: Reference) -> HubReference:
    assert isinstance(reference, HubReference)
    return reference


def paths_of(choice: Choice) -> list[str]:
    return [each.file.path for each in choice.files]


def kinds_of(choice: Choice) -> list[str]:
    return [each.quantization for each in choice.candidates]


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


def test_of_graphs_that_of_8_bits_is_first_with_all_that_it_needs() -> None:
    choice = chosen(TRANSFORMERS)
    assert (choice.layout, choice.main) == (Layout.TRANSFORMERS, "onnx/model_quantized.onnx")
    assert paths_of(choice)[0] == choice.main
    assert sorted(paths_of(choice)[1:]) == sorted([*CONFIGS, "LICENSE"])
    assert kinds_of(choice) == ["q8", "int8", "q4", "fp32", "bnb4", "fp16", "q4f16"]
    assert all(each.reason for each in choice.files)


@pytest.mark.parametrize(
    ("choice", "weights"),
    [
        (":fp32", ["onnx/model.onnx", "onnx/model.onnx_data", "onnx/model.onnx_data_1"]),
        (":onnx/model.onnx", ["onnx/model.onnx", "onnx/model.onnx_data", "onnx/model.onnx_data_1"]),
        (":FP16", ["onnx/model_fp16.onnx", "onnx/model_fp16.onnx_data"]),
        (":Q4", ["onnx/model_q4.onnx"]),
        (":onnx/", ["onnx/model_quantized.onnx"]),
    ],
)
def test_a_graph_comes_with_its_own_weights(choice: str, weights: list[str]) -> None:
    paths = paths_of(chosen(TRANSFORMERS, choice))
    assert [path for path in paths if path.startswith("onnx/")] == weights


@pytest.mark.parametrize("data", ["model.onnx.data", "model.data", "model.onnx_data"])
def test_weights_beside_a_graph_have_many_names(data: str) -> None:
    assert data in paths_of(chosen((*CONFIGS, "model.onnx", data, "other.onnx.data")))


def test_old_merged_graphs_are_taken_where_there_is_no_other() -> None:
    merged = "onnx/decoder_model_merged_quantized.onnx"
    paths = (*CONFIGS, "onnx/decoder_model.onnx", "onnx/decoder_with_past_model.onnx", merged)
    assert chosen(paths).main == merged
    assert chosen((*paths, "onnx/model_fp16.onnx")).main == "onnx/model_fp16.onnx"


def test_a_graph_without_its_tokenizer_is_refused() -> None:
    with pytest.raises(FormatUnknownError, match=r"no `tokenizer\.json` beside `onnx`"):
        chosen(("config.json", "onnx/model.onnx"))


def test_of_genai_folders_the_fastest_for_cpus_is_first_and_whole() -> None:
    choice = chosen((*GENAI, *CONFIGS))
    folder = "cpu_and_mobile/cpu-int4-rtn-block-32-acc-level-4"
    assert (choice.layout, choice.main) == (Layout.GENAI, f"{folder}/genai_config.json")
    assert paths_of(choice) == [*(f"{folder}/{part}" for part in GENAI_PARTS), "LICENSE"]
    assert [each.path.split("/")[0] for each in choice.candidates] == [
        "cpu_and_mobile",
        "cpu_and_mobile",
        "cuda",
        "directml",
    ]


@pytest.mark.parametrize(
    ("choice", "folder"),
    [
        (":cuda/", "cuda/cuda-int4-rtn-block-32"),
        (":cpu_and_mobile/cpu-int4-rtn-block-32", "cpu_and_mobile/cpu-int4-rtn-block-32"),
        (":cuda/cuda-int4-rtn-block-32/model.onnx", "cuda/cuda-int4-rtn-block-32"),
        (":int4", "cpu_and_mobile/cpu-int4-rtn-block-32-acc-level-4"),
    ],
)
def test_a_genai_folder_is_chosen_by_its_name(choice: str, folder: str) -> None:
    found = chosen(GENAI, choice)
    assert (found.layout, found.main) == (Layout.GENAI, f"{folder}/genai_config.json")


def test_a_genai_folder_at_the_top_is_taken_without_what_is_not_of_it() -> None:
    others = (".gitattributes", "model.safetensors", "sub/x.json", "x.gguf/y")
    choice = chosen((*GENAI_PARTS, *others))
    assert sorted(paths_of(choice)) == sorted(GENAI_PARTS)


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
