import math
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from rbee_worker.sampling.choose import Choice, choose
from rbee_worker.sampling.fault import NumericFaultError
from rbee_worker.sampling.params import SamplingParams
from rbee_worker.sampling.row import Row

SIZE = 5_000
EOS = 7
KINDS: list[dict[str, Any]] = [
    {"temperature": 0.0},
    {"temperature": 0.0, "logprobs": 5, "frequency_penalty": 1.0},
    {"temperature": 1.5},
    {"top_k": 40, "top_p": 0.9, "repetition_penalty": 1.1},
    {"top_p": 0.9, "logprobs": 0},
    {"top_p": 0.99, "temperature": 2.0},
    {"min_p": 0.05, "min_tokens": 9, "logit_bias": ((4, 3.0),)},
]


def row_of(index: int = 0, size: int = SIZE, **asked: Any) -> Row:
    return Row(
        SamplingParams(**asked),
        seed=index,
        vocab_size=size,
        prompt=[index, EOS],
        eos_token_ids=frozenset({EOS}),
    )


def noise(rows: int, seed: int = 0) -> NDArray[np.float32]:
    return np.random.default_rng(seed).normal(0, 3, (rows, SIZE)).astype(np.float32)


def chosen(logits: list[float], mask: int | None = None, **asked: Any) -> Choice:
    row = row_of(size=len(logits), **asked)
    masks = [None if mask is None else np.array([mask], np.int32)]
    choice = choose([row], np.array([logits], np.float32), masks)[0]
    assert isinstance(choice, Choice)
    return choice


def test_a_row_is_chosen_alike_alone_and_in_any_company() -> None:
    rows = [row_of(index, **KINDS[index % len(KINDS)]) for index in range(14)]
    masks = [None if index % 2 else np.full(157, 0x7FFFFFF, np.int32) for index in range(14)]
    logits = noise(14)
    alone = [choose([row], logits[[index]], [masks[index]])[0] for index, row in enumerate(rows)]
    assert choose(rows, logits.copy(), masks) == alone
    order: list[int] = np.random.default_rng(1).permutation(14).tolist()
    mixed = choose([rows[i] for i in order], logits[order], [masks[i] for i in order])
    assert mixed == [alone[i] for i in order]


@pytest.mark.parametrize("asked", KINDS)
def test_an_answer_continued_from_any_token_goes_on_as_it_would_have(asked: dict[str, Any]) -> None:
    def go_on(row: Row, begin: int) -> list[int]:
        for position in range(begin, 12):
            choice = choose([row], noise(1, seed=position), [None])[0]
            assert isinstance(choice, Choice)
            row.push(choice.token)
            tokens.append(choice.token)
        return tokens

    tokens: list[int] = []
    whole = go_on(row_of(**asked), 0)
    for begin in range(12):
        row, tokens = row_of(**asked), whole[:begin]
        for token in tokens:
            row.push(token)
        assert go_on(row, begin) == whole


def test_greedy_takes_the_first_of_equal_ones() -> None:
    assert chosen([0, 2, 1, 2], temperature=0.0).token == 1
    assert chosen([0, 2, 1, 2], temperature=1e-9).token == 1
    assert chosen([0, 2, 1, 2], top_k=1).token == 1


def test_a_row_of_no_numbers_is_the_fault_of_that_row_alone() -> None:
    logits = noise(5)
    expected = choose([row_of()], logits[:1].copy(), [None])[0]
    logits[1, 4_999], logits[2, 0], logits[3] = np.nan, np.inf, -np.inf
    logits[4] = logits[0]
    choices = choose([row_of() for _ in range(5)], logits, [None] * 5)
    assert [isinstance(each, NumericFaultError) for each in choices] == [False, True, True, True, 0]
    assert choices[0] == choices[4] == expected


def test_a_nan_is_a_fault_even_where_the_mask_hides_it() -> None:
    logits = np.array([[1, np.nan, 2]], np.float32)
    mask = np.array([0b101], np.int32)
    assert isinstance(choose([row_of(size=3)], logits, [mask])[0], NumericFaultError)


@pytest.mark.parametrize("asked", KINDS)
def test_the_least_number_forbids_as_well_as_minus_infinity(asked: dict[str, Any]) -> None:
    logits = np.full((1, SIZE), np.finfo(np.float32).min, np.float32)
    logits[0, [3, 4]] = [100, -100]
    penalised: dict[str, Any] = {**asked, "repetition_penalty": 1.5}
    choice = choose([row_of(**penalised)], logits, [None])[0]
    assert isinstance(choice, Choice)
    assert choice.token == 3


def test_a_row_of_which_nothing_is_allowed_is_a_fault() -> None:
    logits, mask = np.zeros((1, 3), np.float32), np.array([0b1000], np.int32)
    assert isinstance(choose([row_of(size=3)], logits, [mask])[0], NumericFaultError)


@pytest.mark.parametrize("asked", KINDS)
def test_a_mask_is_kept_to(asked: dict[str, Any]) -> None:
    mask = np.zeros(157, np.int32)
    mask[[3, 90]] = [1 << 5, -(1 << 31)]
    for seed in range(10):
        choice = choose([row_of(seed, **asked)], noise(1, seed), [mask])[0]
        assert isinstance(choice, Choice)
        assert choice.token in {3 * 32 + 5, 90 * 32 + 31}


def test_what_is_beyond_a_short_mask_is_not_allowed() -> None:
    logits = np.arange(100, dtype=np.float32)[None]
    short = np.array([-1], np.int32)
    choice = choose([row_of(size=100, temperature=0.0)], logits, [short])[0]
    assert choice == Choice(31)


def test_a_bias_forbids_and_forces() -> None:
    assert chosen([5, 30, 9, -30], temperature=0.0, logit_bias=((1, -100.0),)).token == 2
    assert chosen([5, 30, 9, -30], temperature=0.0, logit_bias=((3, 100.0),)).token == 3
    for seed in range(50):
        row = row_of(seed, size=4, temperature=2.0, logit_bias=((1, -100.0), (3, 100.0)))
        logits = np.array([[5, 30, 9, -30]], np.float32)
        assert choose([row], logits, [None]) == [Choice(3)]


def test_no_end_comes_before_the_shortest_length() -> None:
    logits = [0.0] * 7 + [9.0, 8.0, 1.0]
    row = row_of(size=10, temperature=0.0, min_tokens=2, stop_token_ids=(8,))
    tokens: list[int] = []
    for _ in range(3):
        choice = choose([row], np.array([logits], np.float32), [None])[0]
        assert isinstance(choice, Choice)
        row.push(choice.token)
        tokens.append(choice.token)
    assert tokens == [9, 9, EOS]


def test_a_grammar_that_is_complete_may_end_before_the_shortest_length() -> None:
    only_eos = 1 << EOS
    assert chosen([0.0] * 10, mask=only_eos, min_tokens=5, temperature=0.0).token == EOS


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ({"repetition_penalty": 2.0}, [1.0, -2.0, 1.5, 1.0]),  # 0 in the prompt, 1 and 2 answered
        ({"frequency_penalty": 0.5}, [2.0, -1.5, 2.0, 1.0]),
        ({"presence_penalty": 0.5}, [2.0, -1.5, 2.5, 1.0]),
        ({"repetition_penalty": 2.0, "frequency_penalty": 1.0}, [1.0, -3.0, -0.5, 1.0]),
    ],
)
def test_penalties_count_what_was_used(asked: dict[str, Any], expected: list[float]) -> None:
    row = Row(
        SamplingParams(temperature=0.0, **asked),
        seed=0,
        vocab_size=4,
        prompt=[0],
        eos_token_ids=frozenset(),
    )
    for token in (2, 1, 2):
        row.push(token)
    logits = np.array([[2.0, -1.0, 3.0, 1.0]], np.float32)
    assert choose([row], logits, [None]) == [Choice(int(np.argmax(expected)))]
    assert logits[0].tolist() == expected


def test_logarithms_are_the_models_own_whatever_is_asked() -> None:
    logits = [1.0, 3.0, 2.0, 3.0, -math.inf]
    total = math.log(sum(map(math.exp, logits)))
    asked: dict[str, Any] = {"logit_bias": ((2, 100.0),), "repetition_penalty": 1.5}
    for temperature in (0.0, 2.0):
        choice = chosen(logits, mask=0b100, temperature=temperature, logprobs=20, **asked)
        assert choice.token == 2
        assert choice.logprob == pytest.approx(2 - total, abs=1e-6)
        # Equal ones by index; the impossible one is none.
        assert [token for token, _ in choice.alternatives] == [1, 3, 2, 0]
        assert [each for _, each in choice.alternatives] == pytest.approx(
            [3 - total, 3 - total, 2 - total, 1 - total], abs=1e-6
        )


def test_the_chosen_one_is_among_the_alternatives_only_if_it_is_that_likely() -> None:
    logits = [1.0, 3.0, 2.0]
    forced: dict[str, Any] = {"temperature": 0.0, "logit_bias": ((0, 100.0),)}
    assert [token for token, _ in chosen(logits, logprobs=2, **forced).alternatives] == [1, 2]
    assert chosen(logits, logprobs=0, **forced).alternatives == ()
    assert chosen(logits, logprobs=0, **forced).logprob is not None
    assert chosen(logits, **forced).logprob is None


def test_probabilities_that_are_told_sum_to_one() -> None:
    row = row_of(size=20, logprobs=20)
    choice = choose([row], noise(1)[:, :20], [None])[0]
    assert isinstance(choice, Choice)
    assert sum(math.exp(each) for _, each in choice.alternatives) == pytest.approx(1, abs=1e-6)
