"""What goes wrong with one request ends that one: the others get what they get alone."""

import asyncio
import random
import shutil
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from rbee_shared.errors import InvalidArgumentError, RbeeError, ResourceExhaustedError
from rbee_worker.description import ModelDescription
from rbee_worker.engine.engine import Engine
from rbee_worker.engine.preparing import Preparing, PromptTooLongError
from rbee_worker.engine.request import FinishReason, Request
from rbee_worker.engine.scheduler import QueueFullError
from rbee_worker.engine.step_loop import COMMANDS_MAX
from rbee_worker.sampling.params import SamplingParams
from tests.model.asking import (
    DEADLINE_S,
    Answer,
    alone,
    answer_of,
    answers_of,
    asked,
    begin,
    idle,
    opened,
    together,
    until,
)
from tests.model.tiny import CONTEXT, spoil_token
from tests.scripted_session import ScriptedSession

pytestmark = [pytest.mark.model, pytest.mark.timeout(120)]

TOKENS = 24
SPECIALS = 3  # tokens before those of the bytes
NOT_ASCII = range(SPECIALS + 128, SPECIALS + 256)  # tokens that no prompt here has
REQUESTS = [
    asked(
        letter + at * " some words", SamplingParams(seed=at, temperature=at % 2, max_tokens=TOKENS)
    )
    for at, letter in enumerate("ABCDEFGH")
]
MANY = 2_000  # more than any queue takes
FAULT = "NUMERIC_FAULT"


def spoiled(model: Path, folder: Path, token: int) -> Path:
    shutil.copytree(model, folder)
    spoil_token(folder, token)
    return folder


def used(answers: list[tuple[Answer, ...]]) -> set[int]:
    return {token for each in answers for answer in each for token in answer.tokens}


async def reason_of(engine: Engine, request: Request, tokens: list[int] | None = None) -> str:
    """Return why a request fails, and leave in `tokens` those that came before."""
    came = [] if tokens is None else tokens

    async def read() -> None:
        async for output in engine.generate(request):
            came.extend(output.token_ids)

    with pytest.raises(RbeeError) as info:
        await read()
    assert info.value.hint
    return info.value.reason


@pytest.mark.parametrize("model", ["tiny_model", "tiny_floats"])
async def test_logits_that_are_no_numbers_end_only_the_request_that_gets_them(
    model: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    good: Path = request.getfixturevalue(model)
    async with opened(good) as engine:
        expected = await alone(engine, REQUESTS)
    letter = next(each for each in "qQzZ@#%&*+=~^{}" if SPECIALS + ord(each) not in used(expected))
    folder = spoiled(good, tmp_path / "spoiled", SPECIALS + ord(letter))
    faulty = asked("some words " * 12 + letter, SamplingParams(max_tokens=TOKENS))
    async with opened(folder) as engine:
        for seed in range(4):
            async with asyncio.TaskGroup() as group:
                faults = [group.create_task(reason_of(engine, faulty)) for _ in range(6)]
                found = await together(engine, REQUESTS, random.Random(seed))
            assert [fault.result() for fault in faults] == [FAULT] * 6
            assert found == expected
        await idle(engine)
        assert await alone(engine, REQUESTS) == expected  # in places that held what is no number


@pytest.mark.parametrize("model", ["tiny_model", "tiny_floats"])
async def test_logits_that_are_no_numbers_end_an_answer_in_its_middle(
    model: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    good: Path = request.getfixturevalue(model)
    async with opened(good) as engine:
        expected = await alone(engine, REQUESTS)
    whose, token = next(
        (at, token)
        for at, (answer,) in enumerate(expected)
        for token in answer.tokens[2:-1]
        if token in NOT_ASCII and token not in used([*expected[:at], *expected[at + 1 :]])
    )
    others = REQUESTS[:whose] + REQUESTS[whose + 1 :]
    before = expected[whose][0].tokens.index(token) + 1
    folder = spoiled(good, tmp_path / "spoiled", token)
    async with opened(folder) as engine:
        for seed in range(4):
            came: list[int] = []
            async with asyncio.TaskGroup() as group:
                work = group.create_task(reason_of(engine, REQUESTS[whose], came))
                found = await together(engine, others, random.Random(seed))
            assert work.result() == FAULT
            assert came == expected[whose][0].tokens[:before]
            assert found == expected[:whose] + expected[whose + 1 :]


async def test_a_full_queue_refuses_and_those_in_it_are_answered(tiny_endless: Path) -> None:
    request = asked("B", SamplingParams(seed=1, max_tokens=3))
    async with opened(tiny_endless, slots=1) as engine:
        expected = await answer_of(engine, request)
        async with AsyncExitStack() as opens:
            await begin(engine, "A", opens)
            works = [asyncio.ensure_future(answer_of(engine, request)) for _ in range(MANY)]
            await asyncio.wait(works, return_when=asyncio.FIRST_COMPLETED)
        found = await asyncio.gather(*works, return_exceptions=True)
        refused = [each for each in found if isinstance(each, QueueFullError)]
        assert refused
        assert all(isinstance(each, ResourceExhaustedError) and each.hint for each in refused)
        answers = [each for each in found if not isinstance(each, QueueFullError)]
        assert answers == [expected] * len(answers)
        assert len(answers) > 1
        await idle(engine)


async def test_a_prompt_that_does_not_fit_is_refused_with_both_numbers(tiny_model: Path) -> None:
    def of_tokens(count: int) -> Request:
        return asked("a" * count, SamplingParams(temperature=0, ignore_eos=True))

    async with opened(tiny_model) as engine:
        with pytest.raises(PromptTooLongError, match=f"{CONTEXT} tokens.* holds {CONTEXT}$"):
            await answer_of(engine, of_tokens(CONTEXT))
        with pytest.raises(PromptTooLongError, match=f"{9 * CONTEXT} tokens.* holds {CONTEXT}$"):
            await answer_of(engine, of_tokens(9 * CONTEXT))
        assert engine.load.token_count == 0
        fits = await answer_of(engine, of_tokens(CONTEXT - 1))
        assert (len(fits.tokens), fits.end) == (1, (FinishReason.LENGTH, ""))


async def test_what_is_out_of_range_is_refused_before_any_work(tiny_model: Path) -> None:
    async with opened(tiny_model) as engine:
        for wrong in (SamplingParams(top_p=2), SamplingParams(n=0), SamplingParams(max_tokens=0)):
            with pytest.raises(InvalidArgumentError):
                await answers_of(engine, asked("hi", wrong))
        for token in (-1, 10**6):
            with pytest.raises(InvalidArgumentError, match="a token that the model does not know"):
                await answers_of(engine, asked("hi", SamplingParams(), begun=[1, token]))
        assert engine.load.token_count == 0
        await idle(engine)


async def test_an_engine_that_ends_tells_everybody(tiny_endless: Path) -> None:
    endless = asked("A", SamplingParams(temperature=0, ignore_eos=True))
    async with opened(tiny_endless, slots=2) as engine:
        works = [asyncio.ensure_future(reason_of(engine, endless)) for _ in range(5)]
        await until(lambda: engine.load.waiting == 3)
    assert await asyncio.gather(*works) == ["ENGINE_DEAD"] * 5
    assert await reason_of(engine, endless) == "ENGINE_DEAD"


async def test_an_engine_that_died_refuses_whoever_comes_and_can_be_stopped(
    tiny_model: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(call: str) -> bool:
        raise ZeroDivisionError(call)

    session = ScriptedSession(slots=1, max_len=CONTEXT, fails=broken)
    preparing = Preparing(tiny_model, ModelDescription.read(tiny_model))
    engine = Engine(session, preparing, guesses=False)
    engine.start()
    request = asked("A", SamplingParams())
    assert await reason_of(engine, request) == "ENGINE_DEAD"
    many = (reason_of(engine, request) for _ in range(COMMANDS_MAX + 1))
    assert set(await asyncio.gather(*many)) == {"ENGINE_DEAD"}
    async with asyncio.timeout(DEADLINE_S):
        await engine.stop()
    assert "the engine ends by a bug" in caplog.text
