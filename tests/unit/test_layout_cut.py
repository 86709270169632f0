"""A run is cut where its logits need it, and nowhere else."""

import pytest

from rbee_worker.layouts.cut import Part, parts
from rbee_worker.layouts.signature import Told


@pytest.mark.parametrize("told", Told)
def test_what_fits_is_one_run(told: Told) -> None:
    assert parts(10, 1, told=told, tokens_max=10) == [Part(0, 10, 1)]
    assert parts(1, 0, told=told, tokens_max=10) == [Part(0, 1, 0)]


def test_a_long_run_is_cut_and_logits_come_from_those_that_have_the_tokens() -> None:
    found = parts(25, 7, told=Told.ALL, tokens_max=10)
    assert found == [Part(0, 10, 0), Part(10, 20, 2), Part(20, 25, 5)]


def test_a_graph_that_tells_of_the_last_token_is_asked_token_by_token() -> None:
    found = parts(6, 3, told=Told.LAST, tokens_max=100)
    assert found == [Part(0, 4, 1), Part(4, 5, 1), Part(5, 6, 1)]


@pytest.mark.parametrize("told", Told)
@pytest.mark.parametrize("count", [0, 1, 5, 23])
def test_parts_are_the_whole(told: Told, count: int) -> None:
    found = parts(23, count, told=told, tokens_max=7)
    assert [found[0].begin, *(each.end for each in found)] == [*(e.begin for e in found), 23]
    assert sum(each.logit_count for each in found) == count
    assert told is not Told.LAST or all(each.logit_count <= 1 for each in found)
