"""Texts as vectors, by the engine: beside answers, in pieces, for whoever still wants them."""

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path

import numpy as np
import pytest

from rbee_shared.errors import InvalidArgumentError
from rbee_worker.engine.preparing import PromptTooLongError
from rbee_worker.sampling.params import SamplingParams
from tests.model.asking import answer_of, asked, begin, opened, until

pytestmark = [pytest.mark.model, pytest.mark.timeout(120)]

TEXTS = ("a bee", "The bees fly over the hill. " * 12, "x", "tax law, and more of it")


async def test_a_text_has_the_same_vector_alone_and_in_company(tiny_model: Path) -> None:
    async with opened(tiny_model) as engine:
        together = await engine.embed(TEXTS)
        alone = [await engine.embed([text]) for text in TEXTS]
    assert together.vectors.shape == (len(TEXTS), 64)
    assert together.prompt_tokens == sum(each.prompt_tokens for each in alone)
    np.testing.assert_allclose(np.linalg.norm(together.vectors, axis=1), 1, atol=1e-5)
    for vector, each in zip(together.vectors, alone, strict=True):
        np.testing.assert_array_equal(vector, each.vectors[0])


async def test_vectors_change_no_answer_beside_them(tiny_model: Path) -> None:
    request = asked("Tell me of bees.", SamplingParams(seed=1, max_tokens=60))
    async with opened(tiny_model) as engine:
        alone = await answer_of(engine, request)
        async with asyncio.TaskGroup() as tasks:
            vectors = tasks.create_task(engine.embed(TEXTS * 8))
            beside = tasks.create_task(answer_of(engine, request))
    assert beside.result().tokens == alone.tokens
    assert len(vectors.result().vectors) == 8 * len(TEXTS)


async def test_who_leaves_stands_in_nobodys_way(tiny_model: Path) -> None:
    async with opened(tiny_model) as engine, AsyncExitStack() as opens:
        await begin(engine, "Hello", opens)
        left = asyncio.ensure_future(engine.embed(TEXTS * 50))
        await until(lambda: left.done() or engine.load.token_count > 20)
        left.cancel()
        await asyncio.wait([left])
        assert (await engine.embed(TEXTS[:1])).vectors.shape == (1, 64)


async def test_a_text_that_cannot_be_is_named(tiny_model: Path) -> None:
    async with opened(tiny_model) as engine:
        with pytest.raises(PromptTooLongError, match=r"^text 2 of 2 has .* holds \d+$"):
            await engine.embed(["a", "b" * 300 + " c" * 200])
        with pytest.raises(InvalidArgumentError, match="text 1 of 1 is empty"):
            await engine.embed([""])
