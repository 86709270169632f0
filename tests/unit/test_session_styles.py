"""One tiny model through the session in every layout: the same tokens give the same logits."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import onnx as untyped_onnx
import pytest
from numpy.typing import NDArray

from rbee_worker import session as session_file
from rbee_worker.compute_error import ComputeError
from rbee_worker.describe.describe import describe
from rbee_worker.description import ModelDamagedError, ModelDescription
from rbee_worker.device import Device
from rbee_worker.layouts.folder import OutsideFolderError
from rbee_worker.layouts.signature import Style
from rbee_worker.session import Session
from tests.model.exporters import Form
from tests.tiny_hub import TinyHub
from tests.tiny_llama import TinyLlama, vocabulary

onnx: Any = untyped_onnx

Floats = NDArray[Any]
CPU = Device("cpu", 0)
MAX_LEN = 96
STYLES = {Form.GENAI: Style.SHARED, Form.WEB: Style.SHARED, Form.CONCAT: Style.COMPAT}
EXACT = 2e-4  # other orders of summing
HALF = 2e-2  # a cache of float16


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> TinyHub:
    return TinyHub(tmp_path_factory.mktemp("hub"), TinyLlama())


def opened(folder: Path, *, max_len: int = MAX_LEN) -> Session:
    description = ModelDescription.read(folder)
    return Session(folder, description, device=CPU, threads=1, max_len=max_len, slots=2)


def some_tokens(count: int, *, seed: int = 3) -> list[int]:
    return [int(n) for n in np.random.default_rng(seed).integers(0, len(vocabulary()), count)]


def rows(session: Session, tokens: list[int], *cuts: int) -> Floats:
    """Return the last logits of each run, the runs ending at `cuts` and then token by token."""
    ends = [*cuts, *range(cuts[-1] + 1, len(tokens) + 1)]
    begins = [0, *ends]
    return np.array(
        [
            session.prefill(0, tokens[begin:end], begin)[0].copy()
            for begin, end in zip(begins, ends, strict=False)
        ]
    )


@pytest.fixture(scope="module")
def plain(hub: TinyHub) -> Floats:
    """What the plainest form says: attention written out, everything in float32."""
    folder = hub.folder(Form.CONCAT)
    describe(folder)
    return rows(opened(folder), some_tokens(60), 25, 50)


@pytest.mark.parametrize("form", Form)
@pytest.mark.parametrize(("kv", "tolerance"), [("float32", EXACT), ("float16", HALF)])
def test_every_layout_says_the_same(
    form: Form, kv: str, tolerance: float, hub: TinyHub, plain: Floats
) -> None:
    folder = hub.folder(form, kv=kv)
    assert describe(folder).kv_value_bytes == {"float32": 4, "float16": 2}[kv]
    session = opened(folder)
    assert session.style is STYLES[form]
    found = rows(session, some_tokens(60), 25, 50)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, plain, atol=tolerance)


def test_our_own_layout_says_nearly_the_same(hub: TinyHub, plain: Floats) -> None:
    session = opened(hub.own)  # its activations, keys and values are of 8 bits
    assert session.style is Style.OWN
    found = rows(session, some_tokens(60), 25, 50)
    assert np.abs(found - plain).mean() < 0.03
    assert (found.argmax(axis=-1) == plain.argmax(axis=-1)).mean() > 0.8


def test_a_graph_that_looks_at_its_past_gets_one_that_grows(hub: TinyHub, plain: Floats) -> None:
    folder = hub.folder(Form.GENAI)
    model = onnx.load_model(folder / "model.onnx", load_external_data=False)
    past = "past_key_values.1.value"
    model.graph.node.append(onnx.helper.make_node("Shape", [past], ["seen"]))
    (folder / "model.onnx").write_bytes(model.SerializeToString())
    describe(folder)
    session = opened(folder)
    assert session.style is Style.COMPAT
    np.testing.assert_allclose(rows(session, some_tokens(60), 25, 50), plain, atol=EXACT)


@pytest.mark.parametrize("form", Form)
def test_weights_may_lie_within_the_graph(form: Form, hub: TinyHub, plain: Floats) -> None:
    folder = hub.folder(form)
    (graph,) = folder.rglob("*.onnx")
    expected = describe(folder)
    (data,) = graph.parent.glob("*data")
    shutil.copy(data, folder / "copy")  # the package reads no file that has a second name
    (folder / "copy").replace(data)
    onnx.save_model(onnx.load_model(graph), graph)
    data.unlink()
    assert describe(folder) == expected
    np.testing.assert_allclose(rows(opened(folder), some_tokens(60), 25, 50), plain, atol=EXACT)


@pytest.mark.parametrize("form", Form)
def test_a_new_sequence_remembers_nothing_of_the_last(form: Form, hub: TinyHub) -> None:
    folder = hub.folder(form)
    describe(folder)
    first, second = some_tokens(40), some_tokens(30, seed=4)
    session = opened(folder)
    rows(session, first, 20)
    again = rows(session, second, 10)
    np.testing.assert_array_equal(again, rows(opened(folder), second, 10))


@pytest.mark.parametrize("form", Form)
def test_a_sequence_goes_on_from_any_token_that_it_holds(form: Form, hub: TinyHub) -> None:
    folder = hub.folder(form)
    describe(folder)
    tokens, session = some_tokens(40), opened(folder)
    expected = rows(session, tokens, 20)
    found = session.prefill(0, tokens[30:31], 30)
    np.testing.assert_allclose(found[0], expected[30 - 19], atol=EXACT)


@pytest.mark.parametrize("form", Form)
def test_a_sequence_fills_the_context_to_its_last_token(form: Form, hub: TinyHub) -> None:
    folder = hub.folder(form)
    describe(folder)
    tokens = some_tokens(48)
    small, large = opened(folder, max_len=48), opened(folder, max_len=100)
    found = rows(small, tokens, 16)
    np.testing.assert_allclose(found, rows(large, tokens, 16), atol=EXACT)


def test_a_run_is_cut_where_its_logits_would_fill_the_memory(
    hub: TinyHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = hub.folder(Form.GENAI)
    describe(folder)
    tokens = some_tokens(50)
    whole = opened(folder).prefill(0, tokens, 0, logit_count=20)
    monkeypatch.setattr(session_file, "LOGIT_BYTES_MAX", len(vocabulary()) * 4 * 7)
    found = opened(folder).prefill(0, tokens, 0, logit_count=20)
    np.testing.assert_allclose(found, whole, atol=EXACT)


@pytest.mark.parametrize("form", Form)
def test_a_run_that_fails_leaves_a_session_that_works(form: Form, hub: TinyHub) -> None:
    folder = hub.folder(form)
    describe(folder)
    session, tokens = opened(folder, max_len=200), some_tokens(20)
    expected = session.prefill(0, tokens, 0).copy()
    with pytest.raises(ComputeError):  # beyond the 128 positions of the model
        session.prefill(0, some_tokens(150), 20)
    np.testing.assert_array_equal(session.prefill(0, tokens, 0), expected)


def test_a_graph_that_is_not_the_described_one_is_refused(hub: TinyHub, tmp_path: Path) -> None:
    folder = hub.folder(Form.WEB)
    other = TinyHub(tmp_path, TinyLlama(layers=1)).folder(Form.WEB)
    description = describe(folder)
    with pytest.raises(ModelDamagedError, match="with layers 2, it has 1"):
        Session(other, description, device=CPU, threads=1, max_len=16, slots=1)


def test_a_graph_that_points_out_of_its_folder_since_is_refused(hub: TinyHub) -> None:
    folder = hub.folder(Form.GENAI)
    describe(folder)
    graph = folder / "model.onnx"
    inside, outside = b"model.onnx.data", b"../own/weight.s"
    graph.write_bytes(graph.read_bytes().replace(inside, outside))
    with pytest.raises(OutsideFolderError, match=outside.decode()):
        opened(folder)
