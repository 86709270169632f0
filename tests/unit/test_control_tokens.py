"""Control tokens in a text: the leftmost, the longest, and quickly whatever the text is."""

import time

from rbee_worker.text.control_tokens import ControlTokens, Found

MANY = {number: f"<unused{number}>" for number in range(6_000)}


def test_the_leftmost_and_longest_is_found() -> None:
    tokens = ControlTokens({1: "<a>", 2: "<a><b>", 3: "[x]", 4: ""})
    assert list(tokens.find("<<a><b><a>[x][y]")) == [
        *(Found(2, 1, 7), Found(1, 7, 10), Found(3, 10, 13))
    ]


def test_beginnings_are_no_tokens() -> None:
    assert [*ControlTokens(MANY).find("<unused> <unused6000> < <unused12")] == []
    assert [*ControlTokens(MANY).find("x<unused5999>")]


def test_a_model_without_control_tokens_finds_none() -> None:
    assert [*ControlTokens({}).find("<s>")] == []


def test_a_token_that_a_text_leaves_off_within_is_found() -> None:
    tokens = ControlTokens({1: "<a>", 2: "<a><b>", 3: "[x]"})
    for text, place in {"x<": 1, "x<a": 1, "x<a><": 1, "<<": 1, "[xx": 3, "[y": 2, "": 0}.items():
        assert tokens.begun_at(text, len(text)) == place
    assert tokens.begun_at("x<a b", 3) == 1
    assert ControlTokens({}).begun_at("<", 1) == 1


def test_many_beginnings_of_many_tokens_take_no_time() -> None:
    start = time.perf_counter()
    assert [*ControlTokens(MANY).find("<unused" * 10_000)] == []
    assert time.perf_counter() - start < 2  # one pattern of all of them takes much longer
