"""Texts as vectors: the mean over a text's tokens, of length 1, in any company the same."""

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as untyped_ort
import pytest

from rbee_shared.errors import UnimplementedError
from rbee_worker.describe.describe import describe
from rbee_worker.description import ModelDescription
from rbee_worker.device import Device
from rbee_worker.layouts import embedder
from rbee_worker.layouts.embedder import RUN_TOKENS_MAX, Floats, together
from rbee_worker.session import Session
from tests.model.exporters import Form
from tests.own_forms import with_hidden_states, with_int8_cache
from tests.tiny_hub import TinyHub
from tests.tiny_llama import TinyLlama, vocabulary

ort: Any = untyped_ort

LENGTHS = (5, 1, 60, 5, 128, 33, 90, 2)


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> TinyHub:
    return TinyHub(tmp_path_factory.mktemp("hub"), TinyLlama())


@pytest.fixture(scope="module")
def folder(hub: TinyHub, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("hidden") / "own"
    shutil.copytree(hub.own, folder)
    with_hidden_states(folder)
    with_int8_cache(folder, heads=2, size=16)
    return folder


@pytest.fixture(scope="module")
def session(folder: Path) -> Session:
    return opened(folder)


def opened(folder: Path) -> Session:
    description = ModelDescription.read(folder)
    cpu = Device("cpu", 0)
    return Session(folder, description, device=cpu, threads=1, max_len=32, slots=2)


def some_texts() -> list[list[int]]:
    random = np.random.default_rng(1)
    return [[int(n) for n in random.integers(0, len(vocabulary()), length)] for length in LENGTHS]


def vectors(session: Session, texts: Sequence[Sequence[int]]) -> Floats:
    runs = session.embedding(texts)
    while True:
        try:
            next(runs)
        except StopIteration as end:
            return end.value


def test_a_text_has_the_same_vector_in_company_as_alone(session: Session) -> None:
    texts = some_texts()
    found = vectors(session, texts)
    assert (found.shape, found.dtype) == ((len(texts), 64), np.float32)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-6)
    for text, vector in zip(texts, found, strict=True):
        np.testing.assert_array_equal(vectors(session, [text])[0], vector)


def test_a_vector_is_the_mean_of_the_hidden_states(session: Session, folder: Path) -> None:
    text = some_texts()[2]
    graph: Any = ort.InferenceSession(
        str(folder / "model.onnx"), providers=["CPUExecutionProvider"]
    )
    inputs = {
        "input_ids": np.array([text]),
        "seqlens_k": np.array([len(text) - 1], np.int32),
        "total_len": np.array(len(text), np.int32),
        "logit_pos": np.zeros(0, np.int64),
    }
    for each in graph.get_inputs():
        if each.name.startswith("past"):
            kind = {"tensor(float)": np.float32, "tensor(int8)": np.int8}[each.type]
            inputs[each.name] = np.zeros((1, 2, len(text), 16), kind)
    (hidden,) = graph.run(["hidden_states"], inputs)
    mean = hidden[0].mean(axis=0)
    np.testing.assert_allclose(vectors(session, [text])[0], mean / np.linalg.norm(mean), atol=1e-6)


def test_a_long_text_is_computed_in_pieces(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = some_texts()[4]
    whole = vectors(session, [text])
    monkeypatch.setattr(embedder, "RUN_TOKENS_MAX", 50)
    np.testing.assert_allclose(vectors(session, [text]), whole, atol=1e-5)


def test_rows_stay_as_they_are(session: Session) -> None:
    text = some_texts()[5][:20]
    session.prefill(1, text, 0)
    expected = session.decode(1, [7], [20]).copy()
    vectors(session, some_texts())
    np.testing.assert_array_equal(session.decode(1, [7], [20]), expected)


def test_no_texts_have_no_vectors(session: Session) -> None:
    assert vectors(session, []).shape == (0, 64)


def test_a_model_without_hidden_states_says_so(hub: TinyHub) -> None:
    folder = hub.folder(Form.GENAI)
    describe(folder)
    session = opened(folder)
    assert not session.has_embeddings
    with pytest.raises(UnimplementedError) as caught:
        vectors(session, some_texts())
    assert caught.value.reason == "EMBEDDINGS_UNSUPPORTED"
    assert caught.value.hint


def test_texts_of_like_length_are_computed_together() -> None:
    lengths = [int(n) for n in np.random.default_rng(1).integers(1, 900, 100)]
    groups = list(together(lengths))
    assert sorted(place for group in groups for place in group) == list(range(100))
    for group in groups:
        longest = max(lengths[place] for place in group)
        assert len(group) == 1 or len(group) * longest <= RUN_TOKENS_MAX
    assert list(together([4, 2, 4])) == [[1, 0, 2]]
