"""Bytes that are there: judged against a set of numbers."""

import random
from itertools import pairwise

import pytest

from rbee_hive.transfer.spans import Spans, pieces

LENGTH = 60


@pytest.mark.parametrize("seed", range(50))
def test_spans_are_a_set_of_bytes(seed: int) -> None:
    chance = random.Random(seed)
    spans, wanted = Spans(), set[int]()
    for _ in range(12):
        begin = chance.randrange(LENGTH)
        end = chance.randint(begin, min(LENGTH, begin + 15))
        spans.add(begin, end)
        wanted |= set(range(begin, end))
        assert {at for begin, end in spans for at in range(begin, end)} == wanted
        assert spans.size_bytes == len(wanted)
        missing = {at for begin, end in spans.gaps(0, LENGTH) for at in range(begin, end)}
        assert missing == set(range(LENGTH)) - wanted
        assert spans.front == min(missing, default=LENGTH)
        found = list(spans)
        assert all(before[1] < after[0] for before, after in pairwise(found))


def test_the_first_gap_of_a_range_is_found() -> None:
    spans = Spans.of([(0, 10), (20, 30)])
    assert spans.gap(5, 25) == (10, 20)
    assert spans.gap(15, 18) == (15, 18)
    assert spans.gap(20, 30) is None
    assert spans.gap(25, 40) == (30, 40)


def test_pieces_are_no_larger_than_asked_for() -> None:
    assert list(pieces([(0, 10), (20, 23)], 4)) == [(0, 4), (4, 8), (8, 10), (20, 23)]
