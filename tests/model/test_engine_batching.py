"""Many requests at once, whenever they come: each gets what it gets alone, to the last bit."""

import random
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from rbee_worker.engine.request import Request
from rbee_worker.sampling.params import SamplingParams
from tests.model.asking import SLOTS, Answer, alone, answer_of, asked, begin, idle, opened, together
from tests.model.tiny import CONTEXT

pytestmark = [pytest.mark.model, pytest.mark.timeout(300)]

LETTERS = "ABCDEFGHIJKLMNOP"  # each prompt begins with its own, so that none is another's beginning
SENTENCE = " The old lighthouse stood at the end of a long stone pier."
ORDERS = range(6)


def mixed(*, tokens: int, sentences: int) -> list[Request]:
    """Return sixteen requests, no two alike.

    Args:
        tokens: of an answer of middling length.
        sentences: of the longest prompt.
    """
    samplings = [
        SamplingParams(temperature=0, max_tokens=tokens),
        SamplingParams(temperature=0, max_tokens=1),
        SamplingParams(temperature=0, max_tokens=tokens, stop=tuple("aeinorst")),
        SamplingParams(temperature=0, max_tokens=3 * tokens),
        SamplingParams(temperature=0, max_tokens=tokens, ignore_eos=True),
        SamplingParams(temperature=0, max_tokens=tokens, repetition_penalty=1.3),
        SamplingParams(seed=1, max_tokens=tokens),
        SamplingParams(seed=2, max_tokens=2, min_p=0.1),
        SamplingParams(seed=3, max_tokens=2 * tokens, top_p=0.8),
        SamplingParams(seed=4, max_tokens=tokens, top_k=5, temperature=1.5),
        SamplingParams(seed=5, max_tokens=tokens, stop=(".", "x", "y", "z")),
        SamplingParams(seed=6, max_tokens=tokens, presence_penalty=1.0, frequency_penalty=0.5),
        SamplingParams(seed=7, max_tokens=tokens, logprobs=3),
        SamplingParams(seed=8, max_tokens=tokens, n=3),
        SamplingParams(seed=9, max_tokens=tokens, logit_bias=((70, -100.0), (71, 2.0))),
        SamplingParams(temperature=0, max_tokens=tokens, logprobs=0),
    ]
    lengths = [1 + (5 * at) % sentences for at in range(len(samplings) - 1)] + [0]
    return [
        asked(letter + length * SENTENCE, sampling)
        for letter, length, sampling in zip(LETTERS, lengths, samplings, strict=True)
    ]


def to_the_end(letter: str) -> Request:
    """Return a request that the context ends."""
    return asked(letter * (CONTEXT - 20), SamplingParams(temperature=0, ignore_eos=True))


@pytest.mark.parametrize("order", ORDERS)
async def test_sixteen_at_once_get_what_each_gets_alone(tiny_model: Path, order: int) -> None:
    requests = [*mixed(tokens=24, sentences=7), to_the_end("Q"), to_the_end("R")]
    async with opened(tiny_model) as engine:
        expected = await alone(engine, requests)
    assert len({answers[0].text for answers in expected}) > len(requests) / 2
    async with opened(tiny_model) as engine:
        assert await together(engine, requests, random.Random(order)) == expected
        await idle(engine)


@pytest.mark.parametrize("slots", [1, 2, 5])
async def test_fewer_places_than_requests_change_nothing(tiny_model: Path, slots: int) -> None:
    requests = mixed(tokens=24, sentences=7)
    async with opened(tiny_model) as engine:
        expected = await alone(engine, requests)
    async with opened(tiny_model, slots=slots) as engine:
        assert await together(engine, requests, random.Random(slots)) == expected


async def test_sixteen_at_once_on_a_real_model_get_what_each_gets_alone(onnx_model: Path) -> None:
    requests = mixed(tokens=12, sentences=7)
    async with opened(onnx_model, threads=2, max_len=1024) as engine:
        expected = await alone(engine, requests)
    for order in range(2):
        async with opened(onnx_model, threads=2, max_len=1024) as engine:
            assert await together(engine, requests, random.Random(order)) == expected


async def test_the_same_request_at_once_gets_the_same_answer(tiny_model: Path) -> None:
    request = asked(5 * SENTENCE, SamplingParams(seed=1, max_tokens=24, logprobs=2))
    async with opened(tiny_model) as engine:
        expected = await alone(engine, [request])
    async with opened(tiny_model) as engine:
        found = await together(engine, [request] * SLOTS, random.Random(1))
        assert found == expected * SLOTS


async def test_as_many_as_there_are_places_answer_at_the_same_time(tiny_model: Path) -> None:
    async with opened(tiny_model) as engine, AsyncExitStack() as opens:
        for letter in LETTERS:
            await begin(engine, letter, opens)
        assert engine.load.running == SLOTS


@pytest.mark.parametrize(
    ("model", "companies"), [("tiny_model", range(SLOTS)), ("onnx_model", (0, 1, 3, 7, 15))]
)
async def test_logits_are_the_same_bits_whoever_else_is_in_the_batch(
    model: str, companies: Sequence[int], request: pytest.FixtureRequest
) -> None:
    folder: Path = request.getfixturevalue(model)
    told = SamplingParams(temperature=0, max_tokens=10, logprobs=20, ignore_eos=True)
    watched = asked("Z" + 2 * SENTENCE, told)
    found: list[Answer] = []
    for others in companies:
        async with opened(folder, max_len=CONTEXT) as engine, AsyncExitStack() as opens:
            for at in range(others):
                await begin(engine, LETTERS[at] * (1 + 7 * at), opens)
            found.append(await answer_of(engine, watched))
            assert engine.load.running >= others
    assert len(found[0].logprobs) == 10
    assert all(answer == found[0] for answer in found)


async def test_an_answer_that_nobody_reads_holds_up_nobody(tiny_model: Path) -> None:
    short = asked("B", SamplingParams(temperature=0, max_tokens=5, ignore_eos=True))
    async with opened(tiny_model) as engine, AsyncExitStack() as opens:
        await begin(engine, "A", opens)
        assert len((await answer_of(engine, short)).tokens) == 5
        assert engine.load.running >= 1
