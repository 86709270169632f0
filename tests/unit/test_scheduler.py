import random

import pytest

from rbee_worker.engine.request import Priority
from rbee_worker.engine.scheduler import (
    CHUNK_TOKENS_MAX,
    CHUNK_TOKENS_MIN,
    OVERTAKEN_MAX,
    QueueFullError,
    Scheduler,
    Step,
    chunk_tokens,
)
from rbee_worker.engine.sequence import Sequence

SPEED = 200.0


def sequence(
    length: int = 3, *, first: int = 0, priority: Priority = Priority.INTERACTIVE, most: int = 5
) -> Sequence:
    return Sequence(
        prompt=list(range(first, first + length)),
        token_count_max=most,
        arrived_s=0.0,
        priority=priority,
    )


def admitted(scheduler: Scheduler) -> list[Sequence]:
    found: list[Sequence] = []
    while (each := scheduler.admit()) is not None:
        found.append(each[0])
    return found


def step(scheduler: Scheduler) -> Step:
    """Do the next step as a model would that chooses the token 0."""
    admitted(scheduler)
    found = scheduler.schedule(SPEED)
    assert found is not None
    sampled = list(found.decode)
    for each in found.decode:
        each.advance(each.computed + 1)
    if found.chunk is not None:
        if found.chunk.samples:
            sampled.append(found.chunk.sequence)
        found.chunk.sequence.advance(found.chunk.end)
    for each in sampled:
        each.answer.append(0)
        each.token_times_s.append(0.0)
    return found


def test_nothing_to_do_is_no_step() -> None:
    scheduler = Scheduler(2)
    assert scheduler.admit() is None
    assert scheduler.schedule(SPEED) is None


def test_a_prompt_is_computed_in_chunks_and_only_the_last_one_samples() -> None:
    scheduler, long = Scheduler(1), sequence(200)
    scheduler.add([long])
    seen: list[tuple[int, int, bool]] = []
    while not long.answer:
        chunk = step(scheduler).chunk
        assert chunk is not None
        seen.append((chunk.begin, chunk.end, chunk.begin < 192))
    assert [each[:2] for each in seen] == [(0, 64), (64, 128), (128, 200 - 8), (192, 200)]


def test_no_chunk_leaves_a_single_token_behind() -> None:
    scheduler, odd = Scheduler(1), sequence(129)
    scheduler.add([odd])
    ends = [chunk.end for chunk in (step(scheduler).chunk for _ in range(2)) if chunk is not None]
    assert ends == [64, 129]


def test_answers_are_written_while_a_prompt_is_read_in_smaller_pieces() -> None:
    scheduler, short, long = Scheduler(2), sequence(3), sequence(300, first=1000)
    scheduler.add([short])
    step(scheduler)
    scheduler.add([long])
    both = step(scheduler)
    assert both.decode == (short,)
    assert both.chunk is not None
    assert both.chunk.end == 16


@pytest.mark.parametrize(
    ("speed", "beside", "size"),
    [
        (0.0, True, CHUNK_TOKENS_MIN),
        (1e9, False, CHUNK_TOKENS_MAX),
        (700.0, False, 256),
        (700.0, True, 64),
    ],
)
def test_the_size_of_a_chunk_follows_from_the_speed(
    speed: float, *, beside: bool, size: int
) -> None:
    assert chunk_tokens(speed, beside=beside) == size


def test_a_full_queue_takes_all_answers_of_a_request_or_none() -> None:
    scheduler = Scheduler(1, waiting_max=3)
    scheduler.add([sequence(), sequence()])
    with pytest.raises(QueueFullError, match="2 requests wait already"):
        scheduler.add([sequence(), sequence()])
    assert scheduler.waiting == 2
    scheduler.add([sequence()])


def test_interactive_goes_before_batch_and_batch_is_not_forgotten() -> None:
    scheduler, patient = Scheduler(1), sequence(priority=Priority.BATCH)
    scheduler.add([patient])
    order: list[Sequence] = []
    for number in range(2 * OVERTAKEN_MAX):
        scheduler.add([sequence(first=10 * number)])
        order += admitted(scheduler)
        scheduler.remove(order[-1])
    assert order.index(patient) == OVERTAKEN_MAX


def test_a_short_prompt_is_read_before_a_long_one_which_is_not_forgotten() -> None:
    scheduler, long = Scheduler(64), sequence(3000)
    scheduler.add([long])
    for number in range(4 * OVERTAKEN_MAX):
        scheduler.add([sequence(20, first=10_000 + 100 * number, most=1)])
    begun = 0
    for _ in range(4 * OVERTAKEN_MAX):
        chunk = step(scheduler).chunk
        assert chunk is not None
        begun += chunk.sequence is long
    assert 1 <= begun <= 5


def test_who_shares_a_prompt_waits_for_the_one_that_computes_it() -> None:
    scheduler = Scheduler(4)
    first, second, other = sequence(100), sequence(100), sequence(100, first=500)
    scheduler.add([first, second, other])
    assert admitted(scheduler) == [first, other]
    while not first.answer:
        step(scheduler)
        assert second.row is None
    assert admitted(scheduler) == [second]
    assert second.cached == 99


def test_who_waits_for_a_prompt_need_not_wait_for_the_rest_of_it() -> None:
    scheduler = Scheduler(4)
    long, short = sequence(300), sequence(70)
    scheduler.add([long, short])
    assert admitted(scheduler) == [long]
    while short.row is None:
        step(scheduler)
        admitted(scheduler)
    assert 69 <= long.computed < 300
    assert short.cached == 69


def test_who_waits_for_a_prompt_that_nobody_computes_any_more_goes_on() -> None:
    scheduler = Scheduler(4)
    first, *others = (sequence(100) for _ in range(3))
    scheduler.add([first, *others])
    assert admitted(scheduler) == [first]
    scheduler.remove(first)
    assert admitted(scheduler) == others[:1]
    assert (scheduler.running, scheduler.waiting) == ((others[0],), 1)


def test_who_lost_a_row_is_read_again_with_what_was_written() -> None:
    scheduler = Scheduler(4)
    running = [sequence(40, first=1000 * place, most=50) for place in range(4)]
    scheduler.add(running)
    while len(running[3].answer) < 3:
        step(scheduler)
    moves = scheduler.remove(running[1])
    scheduler.lose(moves)
    assert (running[3].computed, running[3].decodes, running[3].reads) == (0, False, True)
    found = step(scheduler)
    assert found.chunk is not None
    assert found.chunk.sequence is running[3]
    assert running[3] not in found.decode
    while not running[3].decodes:
        step(scheduler)
    assert len(running[3].answer) == 4


def test_a_removed_sequence_is_not_scheduled_and_removing_is_idempotent() -> None:
    scheduler, first, second = Scheduler(1), sequence(), sequence(first=50)
    scheduler.add([first, second])
    assert admitted(scheduler) == [first]
    scheduler.remove(first)
    scheduler.remove(first)
    assert admitted(scheduler) == [second]
    scheduler.remove(second)
    assert (scheduler.running, scheduler.waiting) == ((), 0)


def test_a_failed_sequence_leaves_nothing_for_others() -> None:
    scheduler, first, again = Scheduler(1), sequence(50), sequence(50)
    scheduler.add([first])
    step(scheduler)
    scheduler.remove(first, keeps=False)
    scheduler.add([again])
    admitted(scheduler)
    assert again.cached == 0


@pytest.mark.parametrize("seed", range(60))
def test_whatever_happens_every_sequence_ends_once_and_bounds_hold(seed: int) -> None:
    dice = random.Random(seed)
    slots = dice.choice([1, 2, 4, 16])
    scheduler = Scheduler(slots, waiting_max=12)
    here: list[Sequence] = []
    ended: list[Sequence] = []
    arrived = 0
    for turn in range(900):
        if turn < 500 and dice.random() < 0.4:
            new = [
                sequence(
                    dice.randint(1, 300),
                    first=dice.choice([0, 0, 1000]),
                    priority=dice.choice(list(Priority)),
                    most=dice.randint(1, 20),
                )
                for _ in range(dice.choice([1, 1, 3]))
            ]
            try:
                scheduler.add(new)
            except QueueFullError:
                assert scheduler.waiting + len(new) > 12
            else:
                here += new
                arrived += len(new)
        if here and dice.random() < 0.05:
            gone = dice.choice(here)
            scheduler.remove(gone)
            here.remove(gone)
            ended.append(gone)
        admitted(scheduler)
        if scheduler.schedule(SPEED) is None:
            assert here == []
            continue
        done = step(scheduler)
        assert len(scheduler.running) <= slots
        assert len(set(done.decode)) == len(done.decode)
        if done.chunk is not None:
            assert done.chunk.sequence not in done.decode
            assert done.chunk.begin < done.chunk.end <= done.chunk.begin + CHUNK_TOKENS_MAX + 1
        for each in [each for each in here if len(each.answer) >= each.token_count_max]:
            scheduler.remove(each)
            here.remove(each)
            ended.append(each)
    assert here == []
    assert len(ended) == arrived == len({id(each) for each in ended})
    assert (scheduler.running, scheduler.waiting) == ((), 0)
    assert scheduler.rows.taken == []
