import itertools
import random
from collections import Counter

import numpy as np

from rbee_worker.sampling.params import SamplingParams
from rbee_worker.sampling.row import Row
from rbee_worker.sampling.uniform import UniformStream
from rbee_worker.sampling.used import UsedTokens


def row(params: SamplingParams, prompt: tuple[int, ...] = (5, 6, 5), index: int = 0) -> Row:
    ends = frozenset({2, 1_000})
    return Row(params, seed=7, vocab_size=100, prompt=prompt, eos_token_ids=ends, index=index)


def test_randomness_is_a_function_of_seed_answer_and_position_alone() -> None:
    forwards = [UniformStream(1).at(position) for position in range(300)]
    stream = UniformStream(1)
    order = random.Random(0).sample(range(300), 300)
    backwards = {position: stream.at(position) for position in order}
    assert [backwards[position] for position in range(300)] == forwards
    streams = [UniformStream(seed, index) for seed in (-1, 0, 1, 2**63) for index in range(4)]
    drawn = [stream.at(position) for stream in streams for position in (0, 1, 63, 64, 8_191)]
    assert len(set(drawn)) == len(drawn)


def test_randomness_is_even() -> None:
    drawn = np.array([UniformStream(seed).at(seed) for seed in range(2_000)])
    assert ((drawn >= 0) & (drawn < 1)).all()
    counts = np.histogram(drawn, bins=20, range=(0, 1))[0]
    assert float(((counts - 100) ** 2 / 100).sum()) < 43.8  # chi-square, 19 degrees, 0.1 %


def test_a_stream_of_a_seed_is_the_one_that_was_published() -> None:
    # numpy's own reading of the same key and counter: a change here changes every seeded answer.
    expected = np.random.Generator(np.random.Philox(key=42)).random(130)
    assert [UniformStream(42).at(position) for position in range(130)] == expected.tolist()


def test_the_random_number_moves_with_the_tokens_alone() -> None:
    one = row(SamplingParams())
    first = one.uniform()
    assert one.uniform() == first
    one.push(9)
    assert one.uniform() != first
    assert one.uniform() == row(SamplingParams(), prompt=(5, 6, 5, 9)).uniform()
    assert row(SamplingParams(), index=1).uniform() != first


def test_used_tokens_are_counted_as_a_counter_would() -> None:
    chance = random.Random(3)
    prompt = [chance.randrange(200) for _ in range(50)]
    answer = [chance.randrange(200) for _ in range(1_000)]
    used = UsedTokens(prompt)
    for token in answer:
        used.add(token)
    found = dict(zip(used.ids.tolist(), used.counts.tolist(), strict=True))
    assert set(found) == {*prompt, *answer}
    assert {token: count for token, count in found.items() if count} == Counter(answer)


def test_a_row_counts_no_more_than_its_penalties_need() -> None:
    assert row(SamplingParams()).used is None
    answered = row(SamplingParams(presence_penalty=1.0)).used
    assert answered is not None
    assert answered.ids.tolist() == []
    both = row(SamplingParams(repetition_penalty=1.2), prompt=(5, 6, 5, 100, 4_000)).used
    assert both is not None
    assert both.ids.tolist() == [5, 6]


def test_an_end_is_forbidden_until_the_answer_is_long_enough() -> None:
    one = row(SamplingParams(min_tokens=2, stop_token_ids=(8, 2)))
    for _ in range(2):
        assert one.forbidden_ids is not None
        assert one.forbidden_ids.tolist() == [2, 8]
        one.push(3)
    assert one.forbidden_ids is None


def test_positions_count_prompt_and_answer() -> None:
    one = row(SamplingParams(frequency_penalty=1.0))
    for token in itertools.chain(range(4), (100,)):  # one is beyond the vocabulary
        one.push(token)
    assert (one.position, one.answer_token_count) == (8, 5)
