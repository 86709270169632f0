"""Many who ask one worker at once: all are served, in turn, and none notices the others."""

import asyncio
import signal
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from rbee.v1 import inference_pb2, job_pb2, operation_pb2 as pb
from rbee_client import Client, connect
from rbee_shared.contracts import wire
from rbee_shared.errors import ResourceExhaustedError
from tests.conftest import Home
from tests.system.conftest import CONTEXT_TOKENS, SLOTS

pytestmark = [pytest.mark.system, pytest.mark.model, pytest.mark.timeout(300)]

ASKERS = 16
ANSWERS_MAX = 16
WAITING_MAX = 256
DEADLINE_S = 30.0
TEXTS = (
    "A bee collects nectar from flowers.",
    "Honey bees gather pollen in the meadow.",
    "The stock market fell sharply on Monday.",
    "Share prices dropped as investors sold.",
)


@asynccontextmanager
async def client_of(home: Home) -> AsyncGenerator[Client]:
    address = home.json("queen", "status")["address"]
    async with connect(address) as client:
        yield client


def asking(
    prompt: str,
    *,
    seed: int = 1,
    max_tokens: int | None = None,
    answers: int | None = None,
    ignore_eos: bool = False,
) -> pb.Operation:
    operation = pb.Operation(
        infer=pb.InferOperation(
            model="smollm2",
            sampling=inference_pb2.SamplingParams(
                seed=seed, max_tokens=max_tokens, n=answers, ignore_eos=ignore_eos
            ),
        )
    )
    operation.infer.conversation.messages.add(role=inference_pb2.ROLE_USER, content=prompt)
    return operation


def endless() -> pb.Operation:
    """Return a question whose answer goes on to the end of the context."""
    return asking("Tell a story.", ignore_eos=True)


async def answered(client: Client, operation: pb.Operation) -> tuple[str, pb.InferResult]:
    text = ""
    async for event in client.run(operation):
        text += event.completion.text
        if event.result.HasField("infer"):
            return text, event.result.infer
    raise AssertionError("it has no result")


async def begun(client: Client, operation: pb.Operation) -> AsyncGenerator[job_pb2.JobEvent]:
    """Return the rest of an answer's story after its first token."""
    story = client.run(operation)
    async for event in story:
        if event.HasField("completion"):
            return story
    raise AssertionError("it has no answer")


async def until(home: Home, holds: Callable[[dict[str, Any]], bool]) -> None:
    """Wait until something holds for the worker, as `rbee ps` shows it."""
    end_s = time.monotonic() + DEADLINE_S
    while not holds(seen := (await asyncio.to_thread(home.json, "ps"))[0]):
        assert time.monotonic() < end_s, seen


def is_idle(worker: dict[str, Any]) -> bool:
    return worker["busy_slots"] == f"0/{SLOTS}" and worker["waiting"] == 0


def is_full(worker: dict[str, Any]) -> bool:
    return worker["busy_slots"] == f"{SLOTS}/{SLOTS}"


async def test_many_at_once_get_the_answers_that_each_would_get_alone(slots: Home) -> None:
    questions = [
        asking(f"Write {seed + 2} words about bees.", seed=seed, max_tokens=8)
        for seed in range(ASKERS)
    ]
    async with client_of(slots) as client:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(answered(client, each)) for each in questions]
        together = [task.result() for task in tasks]
        alone = [await answered(client, each) for each in questions]
    assert [text for text, _ in together] == [text for text, _ in alone]
    assert len({text for text, _ in alone}) > ASKERS // 2
    waits_s = [wire.seconds(result.usage.queue_duration) for _, result in together]
    waits_alone_s = [wire.seconds(result.usage.queue_duration) for _, result in alone]
    assert sorted(waits_s)[SLOTS] > max(waits_alone_s), "those over the slots did not wait"


async def test_who_waits_and_who_is_served_can_be_seen(slots: Home) -> None:
    async with client_of(slots) as client, AsyncExitStack() as stack:
        for _ in range(SLOTS):
            stack.push_async_callback((await begun(client, endless())).aclose)
        waiting = asyncio.create_task(answered(client, asking("Say hi.", max_tokens=1)))
        await until(slots, lambda seen: is_full(seen) and seen["waiting"] == 1)
        await stack.aclose()  # all who were served leave
        _, result = await waiting
        assert result.usage.completion_tokens == 1
    await until(slots, is_idle)


async def test_who_is_in_no_hurry_lets_others_go_first(slots: Home) -> None:
    ended: list[str] = []

    async def ask(client: Client, word: str, priority: job_pb2.Priority.ValueType) -> None:
        await client.call(asking("Say hi.", max_tokens=8), priority=priority)
        ended.append(word)

    async with client_of(slots) as client, AsyncExitStack() as stack:
        first, *others = [await begun(client, endless()) for _ in range(SLOTS)]
        for each in others:
            stack.push_async_callback(each.aclose)
        async with asyncio.TaskGroup() as group:
            group.create_task(ask(client, "batch", job_pb2.PRIORITY_BATCH))
            await until(slots, lambda seen: seen["waiting"] == 1)
            group.create_task(ask(client, "interactive", job_pb2.PRIORITY_INTERACTIVE))
            await until(slots, lambda seen: seen["waiting"] == 2)
            await first.aclose()
    assert ended == ["interactive", "batch"]
    await until(slots, is_idle)


async def test_ctrl_c_frees_the_slot_at_once(slots: Home) -> None:
    running = slots.start("run", "smollm2", "Tell a story.", "--ignore-eos", "--seed", "1")
    assert running.stdout is not None
    assert await asyncio.to_thread(running.stdout.read, 1)
    await until(slots, lambda seen: seen["running"] == 1)
    running.send_signal(signal.SIGINT)
    _, err = await asyncio.to_thread(running.communicate, timeout=DEADLINE_S)
    assert running.returncode == 130
    assert err.splitlines()[-1] == "cancelled"
    await until(slots, is_idle)


async def test_a_full_queue_refuses_with_what_to_do_and_serves_who_is_in_it(slots: Home) -> None:
    many = WAITING_MAX // ANSWERS_MAX
    async with client_of(slots) as client:
        tasks = [
            asyncio.create_task(client.call(asking("Hi.", answers=ANSWERS_MAX, ignore_eos=True)))
            for _ in range(many)
        ]
        await until(slots, lambda seen: seen["waiting"] >= WAITING_MAX - SLOTS)
        with pytest.raises(ResourceExhaustedError, match=r"\d+ requests wait") as full:
            await client.call(asking("Hi.", answers=ANSWERS_MAX))
        assert full.value.reason == "QUEUE_FULL"
        assert "try again" in full.value.hint
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        text, _ = await answered(client, asking("Say hi.", max_tokens=3))
        assert text
    await until(slots, is_idle)


async def test_texts_of_one_thing_have_vectors_near_each_other(slots: Home) -> None:
    async def vectors(client: Client, *texts: str) -> NDArray[np.float32]:
        operation = pb.Operation(embed=pb.EmbedOperation(model="smollm2", inputs=texts))
        result = await client.call(operation)
        return np.array([each.values for each in result.embed.embeddings], np.float32)

    async with client_of(slots) as client:
        together = await vectors(client, *TEXTS)
        for text, vector in zip(TEXTS, together, strict=True):
            assert np.array_equal(await vectors(client, text), vector[None])
    likeness = together @ together.T
    assert np.allclose(likeness.diagonal(), 1.0, atol=1e-5)
    assert min(likeness[0, 1], likeness[2, 3]) > likeness[:2, 2:].max() + 0.05
    refused = slots.rbee("embed", "smollm2", "bee " * 600)
    assert refused.returncode == 1
    assert f"the context holds {CONTEXT_TOKENS}" in refused.stderr
