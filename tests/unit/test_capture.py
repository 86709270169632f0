import pytest

from rbee_shared.lifecycle.capture import LineSplitter
from rbee_shared.limits import LINE_BYTES_MAX


def lines_of(*chunks: bytes) -> list[str]:
    splitter = LineSplitter()
    return [line for chunk in chunks for line in splitter.feed(chunk)] + splitter.end()


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
def test_lines_are_the_same_however_they_come(size: int) -> None:
    data = "one\ntwo\r\n\n  \ngrüße 🐝\npartial".encode()
    chunks = [data[i : i + size] for i in range(0, len(data), size)]
    assert lines_of(*chunks) == ["one", "two", "grüße 🐝", "partial"]


def test_invalid_utf8_is_replaced() -> None:
    assert lines_of(b"a\xff\xfeb\n", b"\xc3") == ["a\ufffd\ufffdb", "\ufffd"]


@pytest.mark.parametrize("size", [10_000, LINE_BYTES_MAX, 10_000_000])
def test_a_line_too_long_is_cut_and_the_next_is_whole(size: int) -> None:
    data = b"first\n" + b"x" * 1_000_000 + b"\nnext\n"
    chunks = [data[i : i + size] for i in range(0, len(data), size)]
    first, long, last = lines_of(*chunks)
    assert (first, last) == ("first", "next")
    assert long == "x" * LINE_BYTES_MAX


def test_a_line_without_an_end_takes_no_memory() -> None:
    splitter = LineSplitter()
    told = [line for _ in range(1000) for line in splitter.feed(b"x" * 50_000)]
    assert len(told) == 1
    assert splitter.end() == []


def test_nothing_written_is_nothing_told() -> None:
    assert lines_of() == lines_of(b"") == lines_of(b"\n\n") == []
