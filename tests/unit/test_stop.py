import random

import pytest

from rbee_worker.text.stop_strings import StopStrings


def feed(stops: list[str], pieces: list[str]) -> tuple[str, str]:
    watcher = StopStrings(stops)
    text = ""
    for piece in pieces:
        text += watcher.push(piece)
        if watcher.found:
            return text, watcher.found
    return text + watcher.flush(), ""


def test_text_before_the_stop_string_comes_and_the_stop_string_does_not() -> None:
    assert feed(["END"], ["one two E", "N", "D three"]) == ("one two ", "END")


def test_a_beginning_that_is_none_comes_in_the_end() -> None:
    assert feed(["END"], ["the E", "N", "T"]) == ("the ENT", "")
    assert feed(["END"], ["the EN"]) == ("the EN", "")


def test_what_might_be_a_stop_string_is_held_back() -> None:
    watcher = StopStrings(["\n\n"])
    assert watcher.push("line\n") == "line"
    assert watcher.push("next") == "\nnext"


def test_the_first_of_several_ends_it() -> None:
    assert feed(["three", "two"], ["one two three"]) == ("one ", "two")


def first_stop(text: str, stops: list[str]) -> tuple[int, str] | None:
    """Where the answer ends and by what, the plain way: complete first, then the longest."""
    for end in range(1, len(text) + 1):
        found = [stop for stop in stops if text[:end].endswith(stop)]
        if found:
            stop = max(found, key=len)
            return end - len(stop), stop
    return None


def pieces_of(text: str, dice: random.Random) -> list[str]:
    pieces: list[str] = []
    while text:
        length = dice.randint(1, 5)
        pieces.append(text[:length])
        text = text[length:]
    return pieces


@pytest.mark.parametrize("letters", ["ab", "abc", "aé\U0001f41d\u0301"])
@pytest.mark.parametrize("seed", range(100))
def test_the_stop_string_that_is_complete_first_ends_the_answer(seed: int, letters: str) -> None:
    dice = random.Random(seed)
    text = "".join(dice.choices(letters, k=60))
    stops = [
        "".join(dice.choices(letters, k=dice.randint(2, 7))) for _ in range(dice.randint(1, 16))
    ]
    place, stop = first_stop(text, stops) or (len(text), "")
    for _ in range(5):
        assert feed(stops, pieces_of(text, dice)) == (text[:place], stop)


@pytest.mark.parametrize("seed", range(50))
def test_no_more_is_held_back_than_could_become_a_stop_string(seed: int) -> None:
    dice = random.Random(seed)
    stops = ["".join(dice.choices("ab", k=dice.randint(6, 9))) for _ in range(3)]
    watcher, text, sure = StopStrings(stops), "", ""
    for piece in pieces_of("".join(dice.choices("ab", k=60)), dice):
        text, sure = text + piece, sure + watcher.push(piece)
        if watcher.found:
            return
        held = text[len(sure) :]
        ends = [text[at:] for at in range(len(text)) if any(s.startswith(text[at:]) for s in stops)]
        assert held == max(ends, key=len, default="")


def test_a_stop_string_within_another_ends_the_answer_before_it() -> None:
    assert feed(["abcde", "bcd"], ["xabcde"]) == ("xa", "bcd")
    assert feed(["bcd", "abcd"], ["xabcd"]) == ("x", "abcd")


def test_after_the_stop_string_nothing_comes() -> None:
    watcher = StopStrings(["b"])
    assert watcher.push("abc") == "a"
    assert (watcher.push("d"), watcher.flush(), watcher.found) == ("", "", "b")


def test_without_stop_strings_everything_comes_at_once() -> None:
    assert StopStrings([]).push("abc") == "abc"
