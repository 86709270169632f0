"""Answers of a hive: passed on, or refused before anything is started."""

import asyncio
from pathlib import Path
from typing import Any

import psutil
import pytest

from rbee.v1 import inference_pb2, operation_pb2
from rbee_hive.infer import infer
from rbee_hive.workers.states import WorkerState
from rbee_shared.errors import (
    DeviceNotFoundError,
    FailedPreconditionError,
    InvalidArgumentError,
    WorkerNotFoundError,
)
from rbee_shared.limits import MESSAGES_MAX, PROMPT_CHARS_MAX
from tests.rpc.hive_house import housed
from tests.rpc.hive_pool import Told, error_of, fifo, in_job, open_fifo

READY, BUSY = WorkerState.READY, WorkerState.BUSY


async def test_an_answer_is_told_and_says_who_gave_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with housed(tmp_path, monkeypatch) as house:
        told = Told()
        result = await in_job(house.infer("hello"), told)
        [worker] = house.hive.workers.all()
        assert told.of("completion") == ["hello"]
        assert told.of("infer_start") == [f"{house.model.reference} answers on {worker.spec.id}"]
        assert result == operation_pb2.InferResult(
            model=house.model.reference, hive="attic", worker_id=worker.spec.id, seed=7
        )
        assert (worker.state, worker.request_count) == (READY, 0)
        conversation = inference_pb2.Conversation(
            messages=[
                inference_pb2.Message(role=inference_pb2.ROLE_SYSTEM, content="be"),
                inference_pb2.Message(role=inference_pb2.ROLE_USER, content="brief"),
            ]
        )
        told = Told()
        asked = house.asks(conversation=conversation, worker_id=worker.spec.id)
        await in_job(infer(house.hive, asked), told)
        assert told.of("completion") == ["be brief"]
        assert house.hive.workers.all() == [worker]


def conversation_of(*messages: inference_pb2.Message) -> dict[str, Any]:
    return {"conversation": inference_pb2.Conversation(messages=messages)}


USER = inference_pb2.Message(role=inference_pb2.ROLE_USER, content="x")


@pytest.mark.parametrize(
    ("fields", "reason", "message"),
    [
        ({}, "INPUT_MISSING", "nothing to answer"),
        (conversation_of(), "CONVERSATION_MALFORMED", "this one 0"),
        (conversation_of(*[USER] * (MESSAGES_MAX + 1)), "CONVERSATION_MALFORMED", "this one 1001"),
        (
            conversation_of(USER, inference_pb2.Message(content="x")),
            "CONVERSATION_MALFORMED",
            "no role",
        ),
        ({"prompt": "x" * (PROMPT_CHARS_MAX + 1)}, "PROMPT_TOO_LONG", "1000001 characters"),
        (
            conversation_of(
                *[inference_pb2.Message(role=inference_pb2.ROLE_USER, content="x" * 1_001)] * 1_000
            ),
            "PROMPT_TOO_LONG",
            "1001000 characters",
        ),
        ({"prompt": "x", "model": ""}, "REFERENCE_MALFORMED", "no model is named"),
        ({"prompt": "x", "model": "a b"}, "MODEL_UNKNOWN", "`a b`"),
        ({"prompt": "x", "device": "tpu"}, "DEVICE_NOT_FOUND", "`tpu`"),
        ({"prompt": "x", "worker_id": "w-0"}, "WORKER_NOT_FOUND", "`w-0`"),
    ],
)
async def test_a_bad_request_is_refused_and_starts_nothing(
    fields: dict[str, Any],
    reason: str,
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with housed(tmp_path, monkeypatch) as house:
        error = await error_of(infer(house.hive, house.asks(**fields)))
        assert error.reason == reason
        assert message in str(error)
        assert house.hive.workers.all() == []


async def test_a_device_that_is_not_there_is_refused_before_the_model_is_fetched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with housed(tmp_path, monkeypatch) as house:
        fields = {"model": "file:/nowhere/tiny.gguf", "device": "cuda:7"}
        error = await error_of(house.infer("x", **fields))
        assert isinstance(error, DeviceNotFoundError)


async def test_a_worker_asked_for_by_id_must_serve_what_is_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with housed(tmp_path, monkeypatch) as house:
        worker = await house.spawn()
        by_id, name = {"worker_id": worker.spec.id}, house.model.reference
        told = Told()
        spelled = {"model": f" FILE://{name.removeprefix('file:')}", "device": "cpu", **by_id}
        await in_job(house.infer("yes", **spelled), told)
        assert told.of("completion") == ["yes"]
        error = await error_of(house.infer("no", model="file:/another", **by_id))
        assert isinstance(error, FailedPreconditionError)
        assert error.reason == "WORKER_MISMATCH"
        assert str(error) == f"worker `{worker.spec.id}` serves `{name}`, not `file:/another`"
        assert f"`{name}`" in error.hint
        error = await error_of(house.infer("no", device="cuda", **by_id))
        assert error.reason == "WORKER_MISMATCH"
        assert str(error) == f"worker `{worker.spec.id}` is on `cpu:0`, not on `cuda`"
        error = await error_of(house.infer("no", model="", **by_id))
        assert isinstance(error, InvalidArgumentError)


async def test_a_worker_asked_for_by_id_must_serve_now(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with housed(tmp_path, monkeypatch) as house:
        gate = fifo(tmp_path, "gate")
        house.behave(starts_at=gate)
        spawning = asyncio.create_task(house.spawn())
        worker = await house.only()
        error = await error_of(house.infer("x", worker_id=worker.spec.id))
        assert isinstance(error, FailedPreconditionError)
        assert error.reason == "WORKER_NOT_READY"
        assert str(error) == f"worker `{worker.spec.id}` is loading"
        await open_fifo(gate)
        await spawning
        psutil.Process(worker.pid).kill()
        await worker.ended()
        error = await error_of(house.infer("x", worker_id=worker.spec.id))
        assert str(error) == f"worker `{worker.spec.id}` is failed"
        await house.hive.workers.delete(worker.spec.id, force=False)
        error = await error_of(house.infer("x", worker_id=worker.spec.id))
        assert isinstance(error, WorkerNotFoundError)
