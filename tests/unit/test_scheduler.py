import random

import pytest

from rbee_worker.engine.scheduler import PREFILL_CHUNK_TOKENS, QueueFullError, Scheduler
from rbee_worker.engine.sequence import Sequence
from rbee_worker.sampling.params import SamplingParams


def sequence(length: int = 3) -> Sequence:
    return Sequence(
        sampling=SamplingParams(),
        prompt=list(range(length)),
        seed=1,
        token_count_max=5,
        arrived_s=0.0,
    )


def test_nothing_to_do_is_no_step() -> None:
    assert Scheduler().schedule() is None


def test_a_prompt_is_computed_in_chunks_and_only_the_last_one_samples() -> None:
    scheduler, long = Scheduler(), sequence(2 * PREFILL_CHUNK_TOKENS + 7)
    scheduler.add(long)
    seen: list[tuple[int, int, bool]] = []
    while not (seen and seen[-1][2]):
        step = scheduler.schedule()
        assert step is not None
        seen.append((step.begin, step.end, step.samples))
        long.computed = step.end
    chunk = PREFILL_CHUNK_TOKENS
    assert seen == [(0, chunk, False), (chunk, 2 * chunk, False), (2 * chunk, 2 * chunk + 7, True)]


def test_a_decode_step_computes_the_one_new_token() -> None:
    scheduler, one = Scheduler(), sequence(3)
    scheduler.add(one)
    one.computed = 3
    one.answer.append(9)
    step = scheduler.schedule()
    assert step is not None
    assert (step.begin, step.end, step.samples) == (3, 4, True)


def test_a_full_queue_is_an_answer() -> None:
    scheduler = Scheduler(waiting_max=2)
    scheduler.add(sequence())
    scheduler.add(sequence())
    with pytest.raises(QueueFullError, match="2 requests wait already"):
        scheduler.add(sequence())


def test_a_removed_sequence_is_not_scheduled_and_removing_is_idempotent() -> None:
    scheduler, first, second = Scheduler(), sequence(), sequence()
    scheduler.add(first)
    scheduler.add(second)
    assert scheduler.remove(first) is True
    assert scheduler.remove(first) is False
    step = scheduler.schedule()
    assert step is not None
    assert step.sequence is second


@pytest.mark.parametrize("seed", range(50))
def test_every_sequence_ends_once_in_the_order_of_arrival_whatever_happens(seed: int) -> None:
    dice = random.Random(seed)
    scheduler = Scheduler(waiting_max=8)
    waiting: list[Sequence] = []
    ended: list[Sequence] = []
    arrived: list[Sequence] = []
    for _ in range(400):
        if dice.random() < 0.2:
            new = sequence(dice.randint(1, 300))
            try:
                scheduler.add(new)
            except QueueFullError:
                assert scheduler.waiting == 8
            else:
                arrived.append(new)
                waiting.append(new)
        if waiting and dice.random() < 0.05:
            gone = dice.choice(waiting)
            waiting.remove(gone)
            assert scheduler.remove(gone)
        step = scheduler.schedule()
        assert scheduler.running <= 1
        if step is None:
            continue
        assert step.begin < step.end <= step.begin + PREFILL_CHUNK_TOKENS
        step.sequence.computed = step.end
        if step.samples:
            step.sequence.answer.append(0)
            if len(step.sequence.answer) >= step.sequence.token_count_max:
                assert scheduler.remove(step.sequence)
                waiting.remove(step.sequence)
                ended.append(step.sequence)
    assert ended == [each for each in arrived if each in ended]
    assert len(ended) == len({id(each) for each in ended})
    assert {id(each) for each in scheduler.all()} == {id(each) for each in waiting}
