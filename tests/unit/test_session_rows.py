"""Many sequences in one session: in company, moved, in any row, each gets the same numbers."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from rbee_shared.errors import ResourceExhaustedError
from rbee_worker.describe.describe import describe
from rbee_worker.description import ModelDescription
from rbee_worker.device import Device
from rbee_worker.layouts.signature import Style
from rbee_worker.session import Session
from tests.model.exporters import Form
from tests.own_forms import with_int8_cache
from tests.tiny_hub import TinyHub
from tests.tiny_llama import TinyLlama, vocabulary

Floats = NDArray[Any]
MAX_LEN, SLOTS = 96, 16
KINDS = ("own", "own int8", "genai", "genai float16", "web")


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> TinyHub:
    return TinyHub(tmp_path_factory.mktemp("hub"), TinyLlama())


@pytest.fixture(scope="module")
def opened(hub: TinyHub, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Session]:
    """Opens a session on a kind of graph, once for all tests: what they leave must not matter."""
    sessions: dict[str, Session] = {}

    def session(kind: str) -> Session:
        if kind not in sessions:
            folder = folder_of(hub, kind, tmp_path_factory.mktemp("kind"))
            sessions[kind] = open_session(folder)
        return sessions[kind]

    return session


def folder_of(hub: TinyHub, kind: str, root: Path) -> Path:
    if not kind.startswith("own"):
        form, _, kv = kind.partition(" ")
        folder = hub.folder(Form(form), kv=kv or "float32", accuracy=4)  # as published
        describe(folder)
        return folder
    folder = root / "own"
    shutil.copytree(hub.own, folder)
    if kind == "own int8":
        with_int8_cache(folder, heads=2, size=16)
    return folder


def open_session(folder: Path, *, slots: int = SLOTS, max_len: int = MAX_LEN) -> Session:
    description = ModelDescription.read(folder)
    cpu = Device("cpu", 0)
    return Session(folder, description, device=cpu, threads=1, max_len=max_len, slots=slots)


def some_tokens(count: int, *, seed: int) -> list[int]:
    return [int(n) for n in np.random.default_rng(seed).integers(0, len(vocabulary()), count)]


def texts(count: int) -> list[list[int]]:
    """Return sequences of all lengths."""
    return [some_tokens(3 + 11 * place % 70, seed=place) for place in range(count)]


def alone(session: Session, text: list[int]) -> tuple[Floats, Floats]:
    """Return the logits after a text, and after one more token, of row 0 on its own."""
    after = session.prefill(0, text, 0)[0].copy()
    return after, session.decode(0, [7], [len(text)])[0].copy()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("first", "count"), [(0, 1), (0, 2), (3, 5), (13, 3), (0, 16)])
def test_rows_side_by_side_get_the_numbers_that_they_get_alone(
    kind: str, first: int, count: int, opened: Callable[[str], Session]
) -> None:
    session, several = opened(kind), texts(count)
    expected = [alone(session, text) for text in several]
    for place, text in enumerate(several):
        found = session.prefill(first + place, text, 0)
        np.testing.assert_array_equal(found, [expected[place][0]])
    found = session.decode(first, [7] * count, [len(text) for text in several])
    np.testing.assert_array_equal(found, [after for _, after in expected])


@pytest.mark.parametrize("kind", KINDS)
def test_rows_join_and_leave_between_steps(kind: str, opened: Callable[[str], Session]) -> None:
    session, several = opened(kind), texts(4)
    expected: list[list[Floats]] = []
    for text in several:
        alone(session, text)
        expected.append([session.decode(0, [9], [len(text) + 1])[0].copy()])
        expected[-1].append(session.decode(0, [5], [len(text) + 2])[0].copy())
    lengths = [len(text) + 1 for text in several]
    for place, text in enumerate(several):
        session.prefill(place, text, 0, logit_count=0)
    session.decode(0, [7] * 4, [len(text) for text in several])
    found = session.decode(1, [9] * 2, lengths[1:3])  # rows 0 and 3 rest
    np.testing.assert_array_equal(found, [expected[1][0], expected[2][0]])
    found = session.decode(0, [9], lengths[:1])
    np.testing.assert_array_equal(found, [expected[0][0]])
    found = session.decode(0, [5] * 3, [length + 1 for length in lengths[:3]])
    np.testing.assert_array_equal(found, [each[1] for each in expected[:3]])


@pytest.mark.parametrize("kind", KINDS)
def test_a_copy_goes_on_as_its_row_does(kind: str, opened: Callable[[str], Session]) -> None:
    session, text = opened(kind), some_tokens(40, seed=1)
    session.prefill(2, text, 0)
    expected = session.prefill(2, [4, 5, 6], 30).copy()
    session.prefill(9, some_tokens(60, seed=2), 0)
    session.copy(2, 9, 30)
    np.testing.assert_array_equal(session.prefill(9, [4, 5, 6], 30), expected)


@pytest.mark.parametrize("kind", KINDS)
def test_rows_change_places(kind: str, opened: Callable[[str], Session]) -> None:
    session, one, other = opened(kind), some_tokens(20, seed=1), some_tokens(33, seed=2)
    expected = [alone(session, text)[1] for text in (one, other)]
    session.prefill(4, one, 0)
    session.prefill(7, other, 0)
    session.swap(4, 7, 33)
    np.testing.assert_array_equal(session.decode(7, [7], [20])[0], expected[0])
    np.testing.assert_array_equal(session.decode(4, [7], [33])[0], expected[1])


@pytest.mark.parametrize("kind", KINDS)
def test_logits_are_those_of_the_last_tokens(kind: str, opened: Callable[[str], Session]) -> None:
    session, text = opened(kind), some_tokens(50, seed=1)
    expected = session.prefill(0, text, 0, logit_count=50).copy()
    assert expected.shape == (50, session.vocab_size)
    for count in (1, 3, 40):
        found = session.prefill(1, text, 0, logit_count=count)
        np.testing.assert_array_equal(found, expected[50 - count :])
    assert session.prefill(1, text, 0, logit_count=0).shape == (0, session.vocab_size)


@pytest.mark.parametrize("kind", KINDS)
def test_a_prompt_in_pieces_gives_what_it_gives_whole(
    kind: str, opened: Callable[[str], Session]
) -> None:
    session, text = opened(kind), some_tokens(60, seed=1)
    expected = session.prefill(0, text, 0, logit_count=5).copy()
    session.prefill(5, text[:32], 0, logit_count=0)
    found = session.prefill(5, text[32:], 32, logit_count=5)
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_with_8_bits_all_runs_over_the_same_tokens_give_the_same(
    opened: Callable[[str], Session],
) -> None:
    session, text = opened("own int8"), some_tokens(60, seed=1)
    assert session.is_exact
    expected = session.prefill(0, text, 0, logit_count=60).copy()
    session.prefill(1, text[:30], 0, logit_count=0)
    for place in range(30, 40):
        found = session.decode(1, [text[place]], [place])
        np.testing.assert_array_equal(found[0], expected[place])
    found = session.prefill(1, text[40:], 40, logit_count=20)
    np.testing.assert_array_equal(found, expected[40:])


@pytest.mark.parametrize("kind", KINDS)
def test_who_gets_logits_may_write_to_them(kind: str, opened: Callable[[str], Session]) -> None:
    session, text = opened(kind), some_tokens(20, seed=1)
    expected = session.prefill(0, text, 0).copy()
    session.prefill(0, text, 0)[:] = 0
    session.decode(0, [7], [20])[:] = 0
    np.testing.assert_array_equal(session.prefill(0, text, 0), expected)


def test_a_model_whose_cache_grows_has_one_row(hub: TinyHub) -> None:
    folder = hub.folder(Form.CONCAT)
    describe(folder)
    session = open_session(folder)
    assert (session.style, session.slots) == (Style.COMPAT, 1)
    text = some_tokens(30, seed=1)
    expected = session.prefill(0, text, 0, logit_count=2).copy()
    session.prefill(0, text[:28], 0, logit_count=0)
    found = session.decode(0, text[28:29], [28])
    np.testing.assert_allclose(found[0], expected[0], atol=1e-5)


def test_more_slots_than_the_machine_has_memory_for_are_refused(hub: TinyHub) -> None:
    with pytest.raises(ResourceExhaustedError, match="GiB, the machine has") as caught:
        open_session(hub.own, slots=1_000_000, max_len=1_000_000)
    assert caught.value.reason == "OUT_OF_MEMORY"
    assert "fewer slots" in caught.value.hint
