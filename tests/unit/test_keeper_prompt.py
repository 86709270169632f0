import io
import sys

import pytest

from rbee_keeper.prompt import joined, read_stdin
from rbee_shared.errors import InvalidArgumentError
from rbee_shared.limits import PROMPT_CHARS_MAX
from tests.terminal import Terminal


def piped(monkeypatch: pytest.MonkeyPatch, data: bytes) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))


@pytest.mark.parametrize(
    ("prompt", "stdin", "text"),
    [
        ("why?", "", "why?"),
        ("", "why?\n", "why?"),
        ("summarise", "line 1\nline 2\n", "summarise\n\nline 1\nline 2"),
        ("why?", "  \n\n", "why?"),
        ("  ", "  why?\n", "  why?"),
        (" why? ", "", " why? "),
    ],
)
def test_the_prompt_is_the_argument_then_standard_input(prompt: str, stdin: str, text: str) -> None:
    assert joined(prompt, stdin) == text


@pytest.mark.parametrize(("prompt", "stdin"), [("", ""), (" ", "\n"), ("\n", "")])
def test_no_prompt_is_refused_with_what_to_do(prompt: str, stdin: str) -> None:
    with pytest.raises(InvalidArgumentError) as error:
        joined(prompt, stdin)
    assert (error.value.reason, error.value.hint[:8]) == ("PROMPT_MISSING", "rbee run")


def test_a_prompt_that_is_too_long_is_refused_with_both_numbers() -> None:
    assert joined("x" * PROMPT_CHARS_MAX, "")
    with pytest.raises(InvalidArgumentError) as error:
        joined("x" * PROMPT_CHARS_MAX, "y")
    assert str(PROMPT_CHARS_MAX + 3) in str(error.value)
    assert str(PROMPT_CHARS_MAX) in str(error.value)


def test_what_is_piped_in_is_read_as_utf_8_whatever_the_locale(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    text = "Straße 模型 \U0001f41d\n"
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text.encode()), encoding="ascii"))
    assert read_stdin() == text


def test_what_is_piped_in_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    piped(monkeypatch, b"x" * (4 * PROMPT_CHARS_MAX + 1_000))
    assert len(read_stdin()) == 4 * PROMPT_CHARS_MAX + 1


def test_what_is_too_long_is_too_long_wherever_it_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    piped(monkeypatch, "é".encode() * (2 * PROMPT_CHARS_MAX + 500))
    with pytest.raises(InvalidArgumentError, match="at most"):
        joined("", read_stdin())


def test_what_is_no_text_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    piped(monkeypatch, b"good \xff")
    with pytest.raises(InvalidArgumentError, match="not UTF-8"):
        read_stdin()


def test_a_terminal_or_nothing_at_all_is_no_prompt(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", Terminal(80))
    assert read_stdin() == ""
    monkeypatch.setattr(sys, "stdin", None)
    assert read_stdin() == ""
