"""What a graph declares decides how it is run; what is not known in it is refused by name."""

from pathlib import Path
from typing import Any

import onnx as untyped_onnx
import pytest

from rbee_shared.errors import UnimplementedError
from rbee_worker.layouts.graph_file import GraphFile
from rbee_worker.layouts.signature import Signature, Style, Told, signature_of

onnx: Any = untyped_onnx
make: Any = onnx.helper

INT64, INT32, FLOAT, FLOAT16, BFLOAT16, INT8, BOOL = 7, 6, 1, 10, 16, 3, 9
CACHE = ["batch", 2, "past", 16]
SCALAR: list[Any] = []
PARTS = ("key", "value")
NAMES = ("past_key_values", "present")


class Declared:
    """A graph of one layer with grouped-query attention, to be changed by a test."""

    def __init__(self) -> None:
        self.inputs: dict[str, tuple[int, list[Any]]] = {
            "input_ids": (INT64, ["batch", "sequence"]),
            "attention_mask": (INT64, ["batch", "total"]),
        }
        self.outputs: dict[str, tuple[int, list[Any]]] = {"logits": (FLOAT, ["b", "s", 300])}
        for part in PARTS:
            self.inputs[f"past_key_values.0.{part}"] = (FLOAT, CACHE)
            self.outputs[f"present.0.{part}"] = (FLOAT, CACHE)
        pasts, presents = ([f"{name}.0.{part}" for part in PARTS] for name in NAMES)
        inputs = ["q", "k", "v", *pasts, "lengths", "total"]
        self.nodes = [make.make_node("GroupQueryAttention", inputs, ["y", *presents])]

    def signature(self, folder: Path) -> Signature:
        value = make.make_tensor_value_info
        inputs, outputs = (
            [value(name, *form) for name, form in each.items()]
            for each in (self.inputs, self.outputs)
        )
        graph = make.make_graph(self.nodes, "g", inputs, outputs)
        (folder / "model.onnx").write_bytes(make.make_model(graph).SerializeToString())
        return signature_of(GraphFile.read(folder, "model.onnx"))

    def refusal(self, folder: Path) -> str:
        with pytest.raises(UnimplementedError) as caught:
            self.signature(folder)
        assert caught.value.reason == "LAYOUT_UNSUPPORTED"
        assert caught.value.hint
        return str(caught.value)


def test_grouped_query_attention_is_run_in_one_buffer(tmp_path: Path) -> None:
    found = Declared().signature(tmp_path)
    assert found.style is Style.SHARED
    assert (found.layers, found.kv_heads, found.head_dim, found.vocab_size) == (1, 2, 16, 300)
    assert found.kinds == {"input_ids": "int64", "attention_mask": "int64"}
    assert found.logits is Told.ALL


def test_a_past_that_something_else_reads_is_not_shared(tmp_path: Path) -> None:
    declared = Declared()
    declared.nodes.append(make.make_node("Shape", ["past_key_values.0.key"], ["z"]))
    assert declared.signature(tmp_path).style is Style.COMPAT


def test_without_a_mask_nothing_says_how_full_a_buffer_is(tmp_path: Path) -> None:
    declared = Declared()
    del declared.inputs["attention_mask"]
    assert declared.signature(tmp_path).style is Style.COMPAT


def test_any_other_attention_has_a_past_that_grows(tmp_path: Path) -> None:
    declared = Declared()
    declared.nodes[0].op_type = "MultiHeadAttention"
    assert declared.signature(tmp_path).style is Style.COMPAT


@pytest.mark.parametrize(
    ("name", "value"),
    [("num_logits_to_keep", (INT64, SCALAR)), ("position_ids", (INT32, ["b", "s"]))],
)
def test_an_input_of_the_hub_is_kept_with_its_type(
    name: str, value: tuple[int, list[Any]], tmp_path: Path
) -> None:
    declared = Declared()
    declared.inputs[name] = value
    found = declared.signature(tmp_path)
    assert found.kinds[name] == {INT64: "int64", INT32: "int32"}[value[0]]
    is_asked = name == "num_logits_to_keep"
    assert found.logits is (Told.ASKED if is_asked else Told.ALL)


def test_a_graph_may_put_out_the_last_logits_by_itself(tmp_path: Path) -> None:
    declared = Declared()
    declared.outputs["logits"] = (FLOAT16, ["b", 1, 300])
    assert declared.signature(tmp_path).logits is Told.LAST


@pytest.mark.parametrize("sizes", [["b", "h", "p", "d"], [-1, -1, -1, -1]])
def test_a_cache_may_be_of_float16_and_of_free_size(sizes: list[Any], tmp_path: Path) -> None:
    declared = Declared()
    for part in PARTS:
        declared.inputs[f"past_key_values.0.{part}"] = (FLOAT16, sizes)
    found = declared.signature(tmp_path)
    assert (found.cache_kind, found.kv_heads, found.head_dim) == ("float16", None, None)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("pixel_values", (FLOAT, ["b", 3, 224, 224]), "inputs are not known: `pixel_values`"),
        ("past_conv.0", (FLOAT, ["b", 4]), "inputs are not known: `past_conv.0`"),
        ("use_cache_branch", (BOOL, [1]), "old merged decoder: `use_cache_branch`"),
        ("position_ids", (INT64, [3, "b", "s"]), "of 3 dimensions are not known: `position_ids`"),
        ("position_ids", (FLOAT, ["b", "s"]), "of the type float are not known: `position_ids`"),
        ("past_key_values.2.key", (FLOAT, CACHE), "caches are not whole: `past_key_values"),
        (
            "past_key_values.0.key",
            (BFLOAT16, CACHE),
            "of the type bfloat16 are not known: `past_key_values.0.key`",
        ),
        ("past_key_values.0.key", (INT8, CACHE), "of the type int8 are not known"),
        ("past_key_values.0.key", (FLOAT, ["b", 4, "p", 16]), "not all of one form"),
        ("past_key_values.0.key", (FLOAT, ["b", 2, 16]), "not all of one form"),
        ("past_key_values.0.key", (FLOAT16, CACHE), "not all of one form"),
    ],
)
def test_what_is_not_known_is_refused_by_name(
    name: str, value: tuple[int, list[Any]], message: str, tmp_path: Path
) -> None:
    declared = Declared()
    declared.inputs[name] = value
    assert message in declared.refusal(tmp_path)


@pytest.mark.parametrize("name", ["logits", "present.0.value"])
def test_an_output_that_is_missing_is_named(name: str, tmp_path: Path) -> None:
    declared = Declared()
    del declared.outputs[name]
    assert f"`{name}`" in declared.refusal(tmp_path)


def test_a_graph_without_a_cache_is_refused(tmp_path: Path) -> None:
    declared = Declared()
    for part in PARTS:
        del declared.inputs[f"past_key_values.0.{part}"]
    assert "caches are not whole: `past_key_values`" in declared.refusal(tmp_path)


def test_logits_of_two_dimensions_are_of_our_layout_only(tmp_path: Path) -> None:
    declared = Declared()
    declared.outputs["logits"] = (FLOAT, ["b", 300])
    assert "of 2 dimensions are not known: `logits`" in declared.refusal(tmp_path)


def test_half_of_our_own_inputs_are_not_enough(tmp_path: Path) -> None:
    declared = Declared()
    del declared.inputs["attention_mask"]
    declared.inputs["seqlens_k"] = (INT32, ["b"])
    assert "`logit_pos`, `total_len`" in declared.refusal(tmp_path)


def own() -> Declared:
    declared = Declared()
    del declared.inputs["attention_mask"]
    declared.inputs |= {
        "seqlens_k": (INT32, ["b"]),
        "total_len": (INT32, SCALAR),
        "logit_pos": (INT64, ["n"]),
    }
    declared.outputs["logits"] = (FLOAT, ["n", 300])
    return declared


def test_a_cache_of_int8_is_of_our_layout(tmp_path: Path) -> None:
    declared = own()
    for part in PARTS:
        declared.inputs[f"past_key_values.0.{part}"] = (INT8, CACHE)
    found = declared.signature(tmp_path)
    assert (found.style, found.cache_kind, found.logits) == (Style.OWN, "int8", Told.ASKED)


def test_hidden_states_of_our_layout_are_known(tmp_path: Path) -> None:
    declared = own()
    assert not declared.signature(tmp_path).has_hidden
    declared.outputs["hidden_states"] = (FLOAT, ["b", "s", 64])
    found = declared.signature(tmp_path)
    assert (found.has_hidden, found.hidden_size) == (True, 64)


def test_hidden_states_of_another_form_are_refused(tmp_path: Path) -> None:
    declared = own()
    declared.outputs["hidden_states"] = (FLOAT, ["b", 64])
    assert "of 2 dimensions are not known: `hidden_states`" in declared.refusal(tmp_path)
