"""The processes that the engine's benchmark measures."""

import sys

import psutil
import pytest

from bench.engine.child import started
from bench.engine.exchange import Decoded, FirstTokens, Prompt

pytestmark = pytest.mark.system

PROMPT = Prompt("one two", [1, 2])


def test_an_engine_is_asked_and_is_stopped_while_it_is_not() -> None:
    with started("echo", sys.executable, "tests.echo_engine") as engine:
        process = psutil.Process(engine.process.pid)
        assert engine.about == "an echo"
        for _ in range(2):
            assert process.status() == psutil.STATUS_STOPPED
            answered = engine.decode([PROMPT, PROMPT], 5)
            assert answered == Decoded(5.0, is_at_once=True, answers=[[1, 2], [1, 2]])
            assert engine.first_tokens(PROMPT) == FirstTokens(2.0, 1.0, 7, 2)
    assert engine.process.returncode == 0


def test_an_engine_that_dies_is_named_with_its_exit_code() -> None:
    with (
        started("echo", sys.executable, "tests.echo_engine") as engine,
        pytest.raises(AssertionError, match="echo has ended, by 3"),
    ):
        engine.first_tokens(Prompt("", []))
