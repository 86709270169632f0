"""A folder of the hub that does not hold together is refused by name, and gets no `rbee.json`."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rbee_shared.errors import FailedPreconditionError, InvalidArgumentError, RbeeError
from rbee_worker.describe.describe import describe
from rbee_worker.text.chat_template import ChatTemplateError
from tests.model.exporters import Form
from tests.tiny_hub import TinyHub, edit
from tests.tiny_llama import TinyLlama

FLIPS = 60


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> TinyHub:
    return TinyHub(tmp_path_factory.mktemp("hub"), TinyLlama())


def refusal(folder: Path, **how: Any) -> RbeeError:
    with pytest.raises(RbeeError) as caught:
        describe(folder, **how)
    assert caught.value.hint
    assert not (folder / "rbee.json").exists()
    return caught.value


def test_one_of_several_graphs_must_be_named(hub: TinyHub) -> None:
    folder = hub.folder(Form.WEB)
    os.link(folder / "onnx/model_quantized.onnx", folder / "onnx/model_q4.onnx")
    error = refusal(folder)
    assert isinstance(error, InvalidArgumentError)
    assert "`onnx/model_q4.onnx`, `onnx/model_quantized.onnx`" in str(error)
    assert describe(folder, graph="onnx/model_q4.onnx").graph == "onnx/model_q4.onnx"


@pytest.mark.parametrize("graph", ["../x.onnx", "/x.onnx", "onnx/../../x.onnx"])
def test_a_graph_out_of_the_folder_is_refused(graph: str, hub: TinyHub) -> None:
    assert refusal(hub.folder(Form.WEB), graph=graph).reason == "EXTERNAL_DATA_OUTSIDE"
    folder = hub.folder(Form.GENAI)
    edit(folder, "genai_config.json", model__decoder__filename=graph)
    assert refusal(folder).reason == "EXTERNAL_DATA_OUTSIDE"


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("num_hidden_layers", 3),
        ("num_attention_heads", 8),
        ("num_key_value_heads", 4),
        ("head_dim", 32),
        ("vocab_size", 500),
    ],
)
def test_a_config_that_disagrees_with_the_graph_is_refused(
    key: str, value: int, hub: TinyHub
) -> None:
    folder = hub.folder(Form.WEB)
    edit(folder, "config.json", **{key: value})
    error = refusal(folder)
    assert error.reason == "MODEL_DAMAGED"
    assert f" {value}, the graph has " in str(error)


@pytest.mark.parametrize("key", ["num_attention_heads", "hidden_size", "max_position_embeddings"])
def test_what_nobody_says_is_asked_for(key: str, hub: TinyHub) -> None:
    folder = hub.folder(Form.CONCAT)
    edit(folder, "config.json", **{key: None})
    assert "does not say its" in str(refusal(folder))


@pytest.mark.parametrize(
    ("file", "values", "message"),
    [
        ("genai_config.json", {"model__vision": {"filename": "v.onnx"}}, "the part `vision`"),
        ("genai_config.json", {"model__decoder__pipeline": "x"}, "no single decoder"),
        ("genai_config.json", {"model": 7}, "`model` in `genai_config.json` of the model makes"),
        ("genai_config.json", {"model__context_length": "x"}, "`context_length`"),
        ("genai_config.json", {"model__eos_token_id": "x"}, "`eos_token_id`"),
        ("genai_config.json", {"model__eos_token_id": 9_000}, "more than the 262 of its graph"),
        ("config.json", {"is_encoder_decoder": True}, "has an encoder"),
    ],
)
def test_a_folder_that_says_what_is_not_known_is_refused(
    file: str, values: dict[str, Any], message: str, hub: TinyHub
) -> None:
    folder = hub.folder(Form.GENAI if file == "genai_config.json" else Form.WEB)
    edit(folder, file, **values)
    assert message in str(refusal(folder))


@pytest.mark.parametrize("file", ["config.json", "generation_config.json", "tokenizer_config.json"])
@pytest.mark.parametrize("content", ["{", "[]", "null", "[" * 100_000, "\udc80"])
def test_a_file_that_is_no_object_is_named(file: str, content: str, hub: TinyHub) -> None:
    folder = hub.folder(Form.WEB)
    (folder / file).write_bytes(content.encode(errors="surrogateescape"))
    assert f"`{file}`" in str(refusal(folder))


def test_a_folder_of_no_layout_is_refused(hub: TinyHub, tmp_path: Path) -> None:
    assert "has neither `genai_config.json` nor" in str(refusal(tmp_path))
    folder = hub.folder(Form.WEB)
    (folder / "onnx/model_quantized.onnx").unlink()
    assert refusal(folder).reason == "LAYOUT_UNSUPPORTED"


def no_tokenizer(folder: Path) -> None:
    (folder / "tokenizer.json").unlink()


def cut_tokenizer(folder: Path) -> None:
    os.truncate(folder / "tokenizer.json", 100)


def no_data(folder: Path) -> None:
    (folder / "onnx/model_quantized.onnx_data").unlink()


def cut_data(folder: Path) -> None:
    path = folder / "onnx/model_quantized.onnx_data"
    data = path.read_bytes()
    path.unlink()  # it is linked to where it is from
    path.write_bytes(data[: len(data) // 2])


def cut_graph(folder: Path) -> None:
    path = folder / "onnx/model_quantized.onnx"
    os.truncate(path, path.stat().st_size // 2)


def endless(folder: Path) -> None:
    edit(folder, "config.json", eos_token_id=None)
    edit(folder, "tokenizer_config.json", eos_token=None)
    (folder / "generation_config.json").unlink()


@pytest.mark.parametrize(
    ("harm", "reason", "message"),
    [
        (no_tokenizer, "TOKENIZER_UNSUPPORTED", "no `tokenizer.json`"),
        (cut_tokenizer, "MODEL_DAMAGED", "`tokenizer.json` of the model cannot be read"),
        (no_data, "MODEL_DAMAGED", "has no `model_quantized.onnx_data`"),
        (cut_data, "MODEL_DAMAGED", "ends before"),
        (cut_graph, "MODEL_DAMAGED", "is no ONNX graph"),
        (endless, "MODEL_DAMAGED", "ends an answer"),
    ],
)
def test_a_folder_that_is_not_whole_is_refused(
    harm: Callable[[Path], None], reason: str, message: str, hub: TinyHub
) -> None:
    folder = hub.folder(Form.WEB)
    harm(folder)
    error = refusal(folder)
    assert message in str(error)
    assert error.reason == reason


@pytest.mark.skipif(os.name == "nt", reason="links need rights there")
def test_a_file_that_links_out_of_the_folder_is_refused(hub: TinyHub, tmp_path: Path) -> None:
    for name in ("config.json", "tokenizer.json", "onnx/model_quantized.onnx_data"):
        folder = hub.folder(Form.WEB)
        outside = (folder / name).replace(tmp_path / "outside")
        (folder / name).symlink_to(outside)
        assert refusal(folder).reason == "EXTERNAL_DATA_OUTSIDE"


def test_a_template_that_cannot_be_used_is_refused(hub: TinyHub) -> None:
    folder = hub.folder(Form.WEB)
    edit(folder, "tokenizer_config.json", chat_template="{% for")
    assert isinstance(refusal(folder), ChatTemplateError)


def test_a_model_of_ours_is_no_folder_of_the_hub(hub: TinyHub, tmp_path: Path) -> None:
    folder = hub.folder(Form.GENAI)
    for name in ("model.onnx", "model.onnx.data"):
        (folder / name).unlink()
        os.link(hub.own / name, folder / name)
    assert "not of the layout that the folder has" in str(refusal(folder))


def test_a_folder_that_cannot_be_written_is_said_so(hub: TinyHub) -> None:
    folder = hub.folder(Form.GENAI)
    (folder / "rbee.json.new").mkdir()
    error = refusal(folder)
    assert isinstance(error, FailedPreconditionError)
    assert error.reason == "FOLDER_UNWRITABLE"


@pytest.mark.parametrize(
    ("form", "file"),
    [
        (Form.GENAI, "model.onnx"),
        (Form.CONCAT, "onnx/model_quantized.onnx"),
        (Form.WEB, "config.json"),
        (Form.WEB, "tokenizer_config.json"),
        (Form.GENAI, "genai_config.json"),
        (Form.WEB, "tokenizer.json"),
    ],
)
def test_whatever_bit_flips_the_error_is_a_known_one(form: Form, file: str, hub: TinyHub) -> None:
    folder = hub.folder(form)
    whole = (folder / file).read_bytes()
    random = np.random.default_rng(5)
    refused = 0
    for _ in range(FLIPS):
        damaged = bytearray(whole)
        for place in random.integers(0, len(whole), 3):
            damaged[place] ^= 1 << int(random.integers(8))
        (folder / file).write_bytes(damaged)
        try:
            describe(folder)
        except RbeeError:
            refused += 1
    assert refused > 10
