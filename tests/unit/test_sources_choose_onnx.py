"""Which graph of a repository is fetched, and what comes with it."""

import pytest

from rbee_hive.sources.choice import (
    FormatUnknownError,
    Layout,
)
from tests.listings import CONFIGS, GENAI, GENAI_PARTS, TRANSFORMERS, chosen, kinds_of, paths_of


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
