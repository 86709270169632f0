"""A prompt in whatever pieces, and with whatever of it there already: the same bits.

With keys and values as 8-bit integers every piece gives the same, one token alone too: so an answer
is the same whatever the cache holds. With floats one token alone gives something else, and so do
some longer pieces where a total length crosses a block of the operators.
"""

from pathlib import Path

import numpy as np
import pytest

from rbee_worker.sampling.params import SamplingParams
from tests.model.asking import Answer, answer_of, asked, opened
from tests.model.converted import logits_of

pytestmark = [pytest.mark.model, pytest.mark.timeout(120)]

TOLD = SamplingParams(temperature=0, max_tokens=3, logprobs=20, ignore_eos=True)
LENGTHS = [*range(1, 20), *range(60, 70), *range(125, 135)]
LENGTH = 150
PIECES = [(148,), (147,), (100, 48), (64, 64), (2,) * 40, (16,) * 9]
PROMPT = "The keeper climbed the steps, lit the lamp, and looked out over the grey water. " * 3


@pytest.mark.parametrize("model", ["tiny_model", "tiny_floats", "onnx_model"])
def test_pieces_of_two_tokens_and_more_give_the_same_bits(
    model: str, request: pytest.FixtureRequest
) -> None:
    folder: Path = request.getfixturevalue(model)
    tokens = [int(each) for each in np.random.default_rng(5).integers(3, 250, LENGTH)]
    expected = logits_of(folder, tokens)[-1]
    for pieces in PIECES:
        assert (logits_of(folder, tokens, runs=pieces)[-1] == expected).all()


async def test_a_prompt_that_goes_on_from_another_gets_the_bits_that_it_gets_alone(
    tiny_model: Path,
) -> None:
    requests = [asked("a" * length, TOLD) for length in LENGTHS]
    expected: list[Answer] = []
    for request in requests:
        async with opened(tiny_model, slots=1) as engine:
            expected.append(await answer_of(engine, request))
    async with opened(tiny_model, slots=2) as engine:
        assert [await answer_of(engine, request) for request in requests] == expected
        again = [await answer_of(engine, request) for request in reversed(requests)]
    assert again == expected[::-1]


async def test_a_prompt_that_is_there_already_gets_the_same_bits_on_a_real_model(
    onnx_model: Path,
) -> None:
    async with opened(onnx_model, slots=2, threads=2, max_len=512) as engine:
        first, second = [await answer_of(engine, asked(PROMPT, TOLD)) for _ in range(2)]
        longer = await answer_of(engine, asked(PROMPT + "Then", TOLD))
    assert second == first
    assert second.usage is not None
    assert second.usage.cached_tokens > 0
    async with opened(onnx_model, slots=2, threads=2, max_len=512) as engine:
        assert await answer_of(engine, asked(PROMPT + "Then", TOLD)) == longer
