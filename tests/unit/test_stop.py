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


@pytest.mark.parametrize("seed", range(200))
def test_cutting_the_text_differently_changes_nothing(seed: int) -> None:
    dice = random.Random(seed)
    text = "".join(dice.choice("ab") for _ in range(40))
    stops = ["".join(dice.choice("ab") for _ in range(dice.randint(2, 6))) for _ in range(2)]
    pieces: list[str] = []
    rest = text
    while rest:
        length = dice.randint(1, 5)
        pieces.append(rest[:length])
        rest = rest[length:]
    places = [text.find(stop) + len(stop) for stop in stops if stop in text]
    answer, found = feed(stops, pieces)
    if not places:
        assert (answer, found) == (text, "")
    else:
        assert found in stops
        assert text.startswith(answer + found)
        assert not any(stop in answer for stop in stops)
