"""A folder of the hub gets its `rbee.json`, with everything that a worker and a hive need."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import tokenizers as untyped_tokenizers

from rbee_worker.describe.describe import describe
from rbee_worker.description import ModelDescription
from rbee_worker.text.tokenizer import Tokenizer
from tests.model.exporters import Form
from tests.tiny_hub import TinyHub, edit
from tests.tiny_llama import TinyLlama, vocabulary

tokenizers: Any = untyped_tokenizers

TEMPLATE = "{% for message in messages %}{{ message.content }}{{ eos_token }}{% endfor %}"
GRAPHS = {
    Form.GENAI: ("genai", "model.onnx"),
    Form.WEB: ("transformers", "onnx/model_quantized.onnx"),
    Form.CONCAT: ("transformers", "onnx/model_quantized.onnx"),
}


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> TinyHub:
    tiny = TinyLlama(metadata={"tokenizer.chat_template": TEMPLATE})
    return TinyHub(tmp_path_factory.mktemp("hub"), tiny)


@pytest.mark.parametrize("form", Form)
def test_a_folder_is_described_as_the_converter_would(form: Form, hub: TinyHub) -> None:
    folder = hub.folder(form)
    found = describe(folder, name="Tiny", licence="apache-2.0")
    own = ModelDescription.read(hub.own)
    assert ModelDescription.read(folder) == found
    assert (found.layout, found.graph) == GRAPHS[form]
    for key in (
        *("name", "architecture", "quantization", "licence", "layers", "heads", "kv_heads"),
        *("head_dim", "hidden_size", "vocab_size", "context_length"),
        *("bos_token_id", "add_bos", "chat_template"),
    ):
        assert getattr(found, key) == getattr(own, key), key
    assert set(found.eos_token_ids) == {2, 0}
    assert found.eos_token_ids[0] == 2


def test_parameters_are_counted_as_the_model_has_them(hub: TinyHub) -> None:
    own = ModelDescription.read(hub.own).parameters
    assert describe(hub.folder(Form.WEB)).parameters == own
    embedding = len(vocabulary()) * 64  # this layout does not say that it is the head as well
    assert describe(hub.folder(Form.GENAI)).parameters == own + embedding


def test_a_cache_of_float16_is_told_to_the_hive(hub: TinyHub) -> None:
    found = describe(hub.folder(Form.GENAI, kv="float16"))
    assert (found.kv_value_bytes, found.quantization) == (2, "int8-block32-float16")


def test_a_model_without_a_name_is_called_by_its_source_or_folder(hub: TinyHub) -> None:
    folder = hub.folder(Form.GENAI)
    assert describe(folder).name == folder.name
    assert describe(folder, source="hf:org/repo").name == "hf:org/repo"


def test_what_the_graph_says_need_not_be_said_again(hub: TinyHub) -> None:
    folder = hub.folder(Form.WEB)
    edit(folder, "config.json", num_key_value_heads=None, head_dim=None, vocab_size=None)
    assert describe(folder).kv_heads == 2


def test_a_context_is_no_longer_than_the_graphs_positions(hub: TinyHub) -> None:
    folder = hub.folder(Form.GENAI)
    edit(folder, "genai_config.json", model__context_length=4_096)
    assert describe(folder).context_length == 128


def test_a_template_is_found_in_every_place_that_the_hub_has(hub: TinyHub) -> None:
    folder = hub.folder(Form.WEB)
    named = [{"name": "tool_use", "template": "x"}, {"name": "default", "template": "named"}]
    edit(folder, "tokenizer_config.json", chat_template=named)
    assert describe(folder).chat_template == "named"
    (folder / "chat_template.jinja").write_text("file")
    assert describe(folder).chat_template == "file"
    (folder / "chat_template.jinja").unlink()
    (folder / "tokenizer_config.json").unlink()
    assert describe(folder).chat_template is None


def test_a_tokenizer_that_begins_with_bos_by_itself_is_followed(hub: TinyHub) -> None:
    folder = hub.folder(Form.WEB)
    assert not describe(folder).add_bos
    path = str(folder / "tokenizer.json")
    tokenizer = tokenizers.Tokenizer.from_file(path)
    begin = tokenizers.processors.TemplateProcessing(
        single="<|im_start|> $A", special_tokens=[("<|im_start|>", 1)]
    )
    tokenizer.post_processor = begin
    tokenizer.save(path)
    found = describe(folder)
    assert (found.bos_token_id, found.add_bos) == (1, True)
    assert Tokenizer(folder, found).encode_text("hell")[0] == 1
    edit(folder, "tokenizer_config.json", add_bos_token=False)
    assert not describe(folder).add_bos


def test_a_tokenizer_that_cuts_or_fills_does_neither(hub: TinyHub) -> None:
    folder = hub.folder(Form.WEB)
    tokenizer = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.enable_truncation(4)
    tokenizer.enable_padding(length=9)
    tokenizer.save(str(folder / "tokenizer.json"))
    found = Tokenizer(folder, describe(folder))
    assert len(found.encode_text("abcabcabcabc")) == 12
    assert len(found.encode_text("a")) == 1


def test_a_tokenizer_without_bos_has_none_whatever_the_config_says(hub: TinyHub) -> None:
    folder = hub.folder(Form.WEB)
    found = json.loads((folder / "tokenizer_config.json").read_text())
    (folder / "tokenizer_config.json").write_text(json.dumps({**found, "bos_token": None}))
    assert describe(folder).bos_token_id is None
    edit(folder, "tokenizer_config.json", bos_token=None)
    assert describe(folder).bos_token_id == 1


def test_the_process_tells_and_fails_like_the_converter(hub: TinyHub, tmp_path: Path) -> None:
    def run(folder: Path) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "rbee_worker.describe", str(folder), "--name", "Tiny"]
        environment = {**os.environ, "RBEE_NARRATION": "json"}
        return subprocess.run(
            command, capture_output=True, text=True, timeout=20, env=environment, check=False
        )

    folder = hub.folder(Form.GENAI)
    result = run(folder)
    assert (result.returncode, result.stderr) == (0, "")
    (told,) = [json.loads(line)["narration"] for line in result.stdout.splitlines()]
    assert (told["actor"], told["action"]) == ("describe", "model_describe")
    assert told["human"] == "reading what the model Tiny is made of"
    assert ModelDescription.read(folder).name == "Tiny"
    failed = run(tmp_path)
    assert failed.returncode == 1
    assert "LAYOUT_UNSUPPORTED" in failed.stdout + failed.stderr
    assert "Traceback" not in failed.stderr
