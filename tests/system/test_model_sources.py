"""The real model from everywhere: alias, file, hub; converted, exact, and in the hub's layouts."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import Home, environment_of
from tests.hub.hub import Hub
from tests.hub.serve import serving_hub
from tests.model.exporters import Form, export
from tests.model.hub_weights import Weights

pytestmark = [pytest.mark.system, pytest.mark.model, pytest.mark.timeout(300)]

NAME = "SmolLM2-135M-Instruct.Q4_1.gguf"
ASKED = ("Why is the sky blue?", "--temperature", "0", "--seed", "1", "--max-tokens", "24")


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory, gguf: Path, onnx_model: Path) -> Iterator[Hub]:
    """A hub with the model as a GGUF file, and in the layouts of GenAI and transformers.js."""
    folder = tmp_path_factory.mktemp("hub")
    (folder / "org/smol").mkdir(parents=True)
    shutil.copyfile(gguf, folder / "org/smol" / NAME)
    data = folder / "weights"
    with data.open("wb") as opened:
        weights = Weights(gguf, opened)
    for form, repo in ((Form.GENAI, "org/genai"), (Form.WEB, "org/web")):
        export(weights, data, onnx_model / "tokenizer.json", folder / repo, form)
    with serving_hub(folder) as served:
        yield served


@pytest.fixture(scope="module")
def home(
    hub: Hub, models: Path, gguf: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Home]:
    """A home that knows the hub, and has smollm2 from the session's store."""
    folder = tmp_path_factory.mktemp("sources")
    store = folder / "home/models"
    shutil.copytree(models, store, copy_function=os.link)
    environment = environment_of(
        folder / "home",
        HF_ENDPOINT=hub.endpoint,
        HF_HOME=str(folder / "hf"),
        NO_PROXY="127.0.0.1",
    )
    found = Home(folder / "home", environment)
    yield found
    stopped = found.rbee("queen", "stop")
    assert stopped.returncode == 0, stopped.stderr


@pytest.fixture(scope="module")
def answer(home: Home) -> str:
    """What smollm2 says."""
    return say(home, "smollm2")


def say(home: Home, model: str) -> str:
    result = home.rbee("run", model, *ASKED, timeout_s=120)
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_an_alias_a_file_and_a_repository_give_one_answer(
    home: Home, answer: str, gguf: Path, tmp_path: Path
) -> None:
    assert "sky" in answer
    file = tmp_path / "mine.gguf"
    shutil.copyfile(gguf, file)
    assert say(home, str(file)) == answer
    assert say(home, "org/smol") == answer


@pytest.mark.parametrize("repo", ["org/genai", "org/web"])
def test_a_layout_of_the_hub_gives_the_answer_of_the_converted_model(
    home: Home, answer: str, repo: str
) -> None:
    assert say(home, repo) == answer
    shown = home.json("model", "show", repo)
    assert shown["converter"] == ""
    assert shown["layout"] == {"org/genai": "genai", "org/web": "transformers"}[repo]
    assert shown["licence"] == "apache-2.0"


def test_exact_weights_take_less_and_answer_too(home: Home) -> None:
    pulled = home.rbee("pull", "org/smol", "--weights", "exact", timeout_s=120)
    assert pulled.returncode == 0, pulled.stderr
    assert "sky" in say(home, "org/smol#exact")
    exact, converted = (home.json("model", "show", name) for name in ("org/smol#exact", "smollm2"))
    assert exact["size_bytes"] < converted["size_bytes"]
    assert exact["source_sha256"] == converted["source_sha256"]
