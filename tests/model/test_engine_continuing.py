"""Going on: an answer begun elsewhere, a prompt that was there before, a conversation's next turn.

With float weights too, whose cache of floats gives tokens that are read as a prompt only nearly the
logits that they had when they were chosen. What a cache may change is in `test_engine_pieces.py`.
"""

import random
import re
from itertools import pairwise
from pathlib import Path

import pytest

from rbee_worker.constraints.constraint import Constraint, ConstraintKind
from rbee_worker.engine.engine import Engine
from rbee_worker.engine.request import FinishReason, Request
from rbee_worker.sampling.params import SamplingParams
from tests.model.asking import Answer, alone, answer_of, answers_of, asked, opened, together

pytestmark = [pytest.mark.model, pytest.mark.timeout(120)]

TOKENS = 40
SPECIALS = 3  # tokens before those of the bytes
PROMPT = "A prompt of some length, of which a part may still be there: " * 3


@pytest.fixture(params=["tiny_model", "tiny_floats"])
def tiny_any(request: pytest.FixtureRequest) -> Path:
    found: Path = request.getfixturevalue(request.param)
    return found


SAMPLINGS = {
    "greedy": SamplingParams(temperature=0, max_tokens=TOKENS),
    "random": SamplingParams(seed=1, max_tokens=TOKENS),
    "top_p": SamplingParams(seed=2, top_p=0.9, max_tokens=TOKENS),
    "penalties": SamplingParams(
        seed=3, repetition_penalty=1.2, frequency_penalty=0.5, max_tokens=TOKENS
    ),
    "at least so many": SamplingParams(
        seed=4, min_tokens=TOKENS - 3, logit_bias=((2, 8.0),), max_tokens=TOKENS
    ),
}
CACHED_SHARE_MIN = 0.5  # of what could be there; a cache may keep whole blocks alone


def cached(answer: Answer) -> int:
    assert answer.usage is not None
    return answer.usage.cached_tokens


@pytest.mark.parametrize("sampling", SAMPLINGS.values(), ids=SAMPLINGS)
async def test_a_begun_answer_goes_on_as_it_would_have_from_any_point(
    sampling: SamplingParams, tiny_any: Path
) -> None:
    async with opened(tiny_any) as engine:
        whole = await answer_of(engine, asked(PROMPT, sampling))
        assert len(whole.tokens) > 3
        begun = [
            asked(PROMPT, sampling, begun=whole.tokens[:count])
            for count in range(len(whole.tokens))
        ]
        one_by_one = await alone(engine, begun)
        at_once = await together(engine, begun, random.Random(1))
    for found in (one_by_one, at_once):
        for count, (rest,) in enumerate(found):
            assert (count, rest.tokens, rest.end) == (count, whole.tokens[count:], whole.end)


async def test_a_begun_answer_of_a_real_model_goes_on_as_it_would_have(onnx_model: Path) -> None:
    async with opened(onnx_model, threads=2, max_len=512) as engine:
        for seed in range(2):
            sampling = SamplingParams(seed=seed, max_tokens=20, ignore_eos=True)
            whole = await answer_of(engine, asked(PROMPT, sampling))
            counts = (1, 6, 17)
            begun = [asked(PROMPT, sampling, begun=whole.tokens[:count]) for count in counts]
            for count, (rest,) in zip(counts, await alone(engine, begun), strict=True):
                assert (seed, count, rest.tokens) == (seed, count, whole.tokens[count:])


async def test_a_begun_answer_ends_at_a_stop_string_that_it_had_half(tiny_any: Path) -> None:
    async with opened(tiny_any) as engine:
        whole = await answer_of(engine, asked(PROMPT, SamplingParams(seed=1, max_tokens=200)))
        pairs = (a + b for a, b in pairwise(whole.text) if a.isascii() and b.isascii())
        stop = SamplingParams(seed=1, max_tokens=200, stop=(next(pairs),))
        cut = await answer_of(engine, asked(PROMPT, stop))
        assert cut.end == (FinishReason.STOP, *stop.stop)
        for count in range(len(cut.tokens)):
            begun = asked(PROMPT, stop, begun=cut.tokens[:count])
            rest = await answer_of(engine, begun)
            assert (count, rest.tokens, rest.end) == (count, cut.tokens[count:], cut.end)


async def test_the_same_prompt_again_is_there_already_and_answers_the_same(
    tiny_any: Path,
) -> None:
    request = asked(PROMPT, SamplingParams(seed=1, max_tokens=TOKENS))
    async with opened(tiny_any) as engine:
        first, second = [await answer_of(engine, request) for _ in range(2)]
    assert second == first
    assert cached(first) == 0
    assert first.usage is not None
    assert cached(second) == first.usage.prompt_tokens  # its end is known: nothing is computed


async def test_who_shares_a_beginning_shares_no_more(tiny_any: Path) -> None:
    sampling = SamplingParams(seed=1, max_tokens=TOKENS)
    lengths = [1, 20, 63, 64, 65, 100, 127, 128, 129, len(PROMPT)]
    requests = [asked(PROMPT[:length] + ending, sampling) for length in lengths for ending in "XY"]
    expected: list[tuple[Answer, ...]] = []
    for request in requests:
        async with opened(tiny_any, slots=1) as engine:
            expected += await alone(engine, [request])
    for slots in (1, 3, 16):
        async with opened(tiny_any, slots=slots) as engine:
            assert await alone(engine, requests) == expected
            assert await together(engine, requests, random.Random(slots)) == expected


async def talk(engine: Engine, turns: int) -> list[Answer]:
    """Hold a conversation, in which each turn brings all that was said."""
    messages: list[dict[str, str]] = []
    answers: list[Answer] = []
    for turn in range(turns):
        messages.append({"role": "user", "content": f"question {turn}"})
        sampling = SamplingParams(seed=turn, max_tokens=12)
        answers.append(await answer_of(engine, Request(sampling, messages=tuple(messages))))
        plain = "".join(letter for letter in answers[-1].text if letter.isalnum())
        messages.append({"role": "assistant", "content": plain})
    return answers


async def test_each_turn_of_a_conversation_finds_the_turns_before(tiny_any: Path) -> None:
    async with opened(tiny_any) as engine:
        answers = await talk(engine, turns=6)
    for before, after in pairwise(answers):
        assert before.usage is not None
        assert cached(after) >= CACHED_SHARE_MIN * before.usage.prompt_tokens


async def test_conversations_in_turns_do_not_mix(tiny_any: Path) -> None:
    async with opened(tiny_any, slots=1) as engine:
        expected = await talk(engine, turns=4)
    async with opened(tiny_any, slots=3) as engine:
        await alone(engine, [asked(letter, SamplingParams(seed=1)) for letter in "ABCDE"])
        assert await talk(engine, turns=4) == expected
        assert await talk(engine, turns=4) == expected


async def test_answers_that_were_begun_alike_are_each_held_to_their_form(tiny_model: Path) -> None:
    form = Constraint(ConstraintKind.REGEX, "abc[d-z]{4}")
    begun = tuple(SPECIALS + ord(letter) for letter in "abc")
    request = Request(
        SamplingParams(seed=1, n=3), prompt="The letters:", begun=begun, constraint=form
    )
    async with opened(tiny_model) as engine:
        answers = await answers_of(engine, request)
    assert all(re.fullmatch("[d-z]{4}", each.text) for each in answers)
