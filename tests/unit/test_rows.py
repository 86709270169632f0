import random

import numpy as np
import pytest

from rbee_worker.engine.rows import (
    Copy,
    End,
    Move,
    Placement,
    Row,
    Rows,
    Swap,
    Tokens,
    as_tokens,
    common,
)


class Cache:
    """What the rows of a real cache would hold if they were moved as is said."""

    def __init__(self, count: int) -> None:
        self.held: list[list[int]] = [[] for _ in range(count)]

    def move(self, moves: tuple[Move, ...]) -> None:
        for move in moves:
            match move:
                case Copy(source, target, length):
                    self.held[target][:length] = self.held[source][:length]
                case Swap(one, other, length):
                    mine, yours = self.held[one][:length], self.held[other][:length]
                    self.held[one][: len(mine)], self.held[other][: len(yours)] = [], []
                    self.held[one], self.held[other] = (
                        yours + self.held[one],
                        mine + self.held[other],
                    )


def placed(rows: Rows, *tokens: int) -> Placement:
    return rows.take(as_tokens(tokens))


def test_what_two_prompts_share() -> None:
    assert common(as_tokens([1, 2, 3]), as_tokens([1, 2, 4, 5])) == 2
    assert common(as_tokens([]), as_tokens([1])) == 0
    assert common(as_tokens([1, 2]), as_tokens([1, 2, 3])) == 2


def test_a_prompt_goes_on_in_the_row_that_holds_its_begin_without_a_move() -> None:
    rows = Rows(4)
    first, second = placed(rows, 1, 2, 3), placed(rows, 7, 8, 9)
    assert rows.leave(first.row, as_tokens([1, 2, 3, 4])) == ()
    assert rows.leave(second.row, as_tokens([7, 8, 9])) == ()
    again = placed(rows, 7, 8, 9, 10)
    assert (again.row, again.kept, again.moves) == (second.row, 3, ())


def test_the_last_token_of_a_prompt_is_always_computed() -> None:
    rows = Rows(2)
    first = placed(rows, 1, 2, 3)
    rows.leave(first.row, as_tokens([1, 2, 3]))
    assert placed(rows, 1, 2, 3).kept == 2


def test_a_prompt_whose_end_is_known_needs_nothing_computed() -> None:
    rows = Rows(2)
    first = placed(rows, 1, 2, 3)
    first.row.tokens, first.row.length = as_tokens([1, 2, 3]), 3
    first.row.end = End(3, np.zeros(8, np.float32))
    second = placed(rows, 1, 2, 3)
    assert second.kept == 3
    assert second.row.end is first.row.end
    rows.leave(first.row, as_tokens([1, 2, 3, 4, 5]))
    rows.leave(second.row, as_tokens([1, 2]))
    assert second.row.end is None
    assert placed(rows, 1, 2, 3).kept == 3
    assert placed(rows, 1, 2, 3, 4).kept == 3


def test_a_begin_that_another_uses_is_copied() -> None:
    rows = Rows(4)
    first = placed(rows, 1, 2, 3, 4)
    first.row.tokens, first.row.length = as_tokens([1, 2, 3, 4]), 4
    second = placed(rows, 1, 2, 3, 9)
    assert second.kept == 3
    assert second.moves == (Copy(first.row.place, second.row.place, 3),)


def test_a_long_row_is_not_given_up_for_a_short_begin() -> None:
    rows = Rows(2)
    first = placed(rows, *range(100))
    rows.leave(first.row, as_tokens(range(100)))
    second = placed(rows, 0, 1, 2, 77)
    assert second.kept == 3
    assert second.row is not first.row
    rows.leave(second.row, as_tokens([0, 1, 2, 77]))
    assert placed(rows, *range(100), 5).kept == 100


def test_the_row_that_was_longest_unused_is_given_up() -> None:
    rows = Rows(3)
    taken = [placed(rows, n, n) for n in range(3)]
    for each in (taken[1], taken[0], taken[2]):
        rows.leave(each.row, as_tokens([5, 5]))
    assert placed(rows, 9, 9).row is taken[1].row


@pytest.mark.parametrize("seed", range(60))
def test_rows_in_use_stand_side_by_side_and_hold_what_they_say(seed: int) -> None:
    dice = random.Random(seed)
    count = dice.choice([1, 2, 3, 8, 16])
    rows, cache = Rows(count), Cache(count)
    running: dict[int, tuple[Row, list[int]]] = {}
    for number in range(300):
        if rows.has_room and dice.random() < 0.55:
            prompt = [dice.randint(0, 1) for _ in range(dice.randint(1, 30))]
            placement = rows.take(as_tokens(prompt))
            cache.move(placement.moves)
            held = cache.held[placement.row.place]
            assert placement.kept < len(prompt)
            assert held[: placement.kept] == prompt[: placement.kept]
            held[placement.kept :] = prompt[placement.kept :]
            placement.row.tokens, placement.row.length = as_tokens(prompt), len(prompt)
            running[number] = placement.row, prompt
        elif running:
            key = dice.choice(list(running))
            row, tokens = running.pop(key)
            cache.move(rows.leave(row, as_tokens(tokens)))
        for row, tokens in running.values():  # answers grow
            cache.held[row.place][len(tokens) :] = [number % 2]
            tokens.append(number % 2)
            row.length = len(tokens)
        places = sorted(row.place for row, _ in running.values())
        assert places == list(range(places[0], places[0] + len(places))) if places else True
        assert [row.place for row in rows.taken] == places
        for row, tokens in running.values():
            assert cache.held[row.place][: len(tokens)] == tokens
            assert rows.lengths[row.place] == len(tokens)


def test_a_move_is_said_for_what_is_there_and_no_more() -> None:
    rows = Rows(3)
    taken = [placed(rows, n, n, n) for n in range(3)]
    for each in taken:
        each.row.length = 5
    (move,) = rows.leave(taken[1].row, tokens_of(5))
    assert move == Swap(2, 1, 5)
    assert taken[2].row.place == 1


def test_rows_whose_moves_failed_hold_nothing_and_the_others_what_they_did() -> None:
    rows = Rows(4)
    taken = [placed(rows, n, n, n) for n in range(3)]
    for place, each in enumerate(taken):
        each.row.tokens, each.row.length = as_tokens([place] * 3), 3
    moves = rows.leave(taken[1].row, as_tokens([1, 1, 1]))
    assert rows.lose(moves) == [taken[2].row, taken[1].row]
    assert [row.length for row in (taken[0].row, taken[1].row, taken[2].row)] == [3, 0, 0]
    assert placed(rows, 2, 2, 2, 9).kept == placed(rows, 1, 1, 1, 9).kept == 0


def test_a_copy_that_failed_leaves_the_row_that_it_was_made_of() -> None:
    rows = Rows(2)
    first = placed(rows, 1, 2, 3)
    first.row.tokens, first.row.length = as_tokens([1, 2, 3]), 3
    second = placed(rows, 1, 2, 3, 4)
    assert rows.lose(second.moves) == [second.row]
    assert rows.shared(as_tokens([1, 2, 3, 4])) == 3


def tokens_of(length: int) -> Tokens:
    return np.arange(length, dtype=np.int32)
