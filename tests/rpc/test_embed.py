"""Vectors of a hive: made by a worker that it has or gets, or refused before it starts one."""

import json
from pathlib import Path
from typing import Any

import pytest

from rbee.v1 import inference_pb2, job_pb2, job_service_pb2, operation_pb2
from rbee_hive.embed import embed
from rbee_shared.limits import EMBED_INPUTS_MAX, PROMPT_CHARS_MAX, TOOLS_MAX
from tests.rpc.hive_house import House, housed, served
from tests.rpc.hive_pool import Told, error_of, in_job
from tests.rpc.standin_worker import DIE, ECHO


def embed_of(house: House, *inputs: str, **fields: Any) -> operation_pb2.EmbedOperation:
    values: dict[str, Any] = {
        "model": house.model.reference,
        "inputs": inputs or ("x",),
        **fields,
    }
    return operation_pb2.EmbedOperation(**values)


async def test_vectors_come_in_the_order_of_the_texts_and_say_who_made_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with housed(tmp_path, monkeypatch) as house:
        told = Told()
        result = await in_job(embed(house.hive, embed_of(house, "one", "three")), told)
        [worker] = house.hive.workers.all()
        assert [list(each.values) for each in result.embeddings] == [[3, 0.5], [5, 0.5]]
        assert (result.model, result.hive) == (house.model.reference, "attic")
        assert (result.worker_id, result.usage.prompt_tokens) == (worker.spec.id, 2)
        assert told.of("embed_start") == [
            f"{house.model.reference} turns 2 texts into vectors on {worker.spec.id}"
        ]
        assert worker.request_count == 0


@pytest.mark.parametrize(
    ("fields", "reason", "message"),
    [
        ({"inputs": []}, "INPUTS_MALFORMED", "these are 0"),
        ({"inputs": ["x"] * (EMBED_INPUTS_MAX + 1)}, "INPUTS_MALFORMED", "1 to 2048 texts"),
        ({"inputs": ["x", ""]}, "INPUTS_MALFORMED", "empty"),
        ({"inputs": ["x" * PROMPT_CHARS_MAX, "y"]}, "INPUTS_TOO_LONG", "1000001 characters"),
        ({"device": "tpu"}, "DEVICE_NOT_FOUND", "`tpu`"),
        ({"model": "a b"}, "MODEL_UNKNOWN", "`a b`"),
    ],
)
async def test_what_cannot_be_embedded_is_refused_and_starts_nothing(
    fields: dict[str, Any],
    reason: str,
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with housed(tmp_path, monkeypatch) as house:
        error = await error_of(embed(house.hive, embed_of(house, **fields)))
        assert error.reason == reason
        assert message in str(error)
        assert house.hive.workers.all() == []


async def test_a_worker_that_dies_of_a_text_is_not_asked_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with housed(tmp_path, monkeypatch) as house:
        error = await error_of(embed(house.hive, embed_of(house, DIE)))
        assert error.reason == "WORKER_DIED"


async def test_all_of_a_request_and_its_priority_come_to_the_worker(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = operation_pb2.InferOperation(begun_token_ids=[5, 6])
    conversation = asked.conversation
    conversation.messages.add(role=inference_pb2.ROLE_USER, content=ECHO)
    conversation.tools.add(name="find", description="finds", parameters="{}")
    conversation.tool_choice = inference_pb2.TOOL_CHOICE_REQUIRED
    asked.sampling.response_format.choices.options.extend(["yes", "no"])
    asked.sampling.min_p = 0.25
    asked.sampling.logit_biases.add(token_id=3, bias=-100)
    async with served(tmp_path, monkeypatch) as hive:
        asked.model = hive.model
        request = job_service_pb2.RunJobRequest(
            operation=operation_pb2.Operation(infer=asked), priority=job_pb2.PRIORITY_BATCH
        )
        events = await hive.told(request)
        [text] = [event.completion.text for event in events if event.HasField("completion")]
        [job] = await hive.jobs()
    heard = json.loads(text)
    assert heard["priority"] == "PRIORITY_BATCH"
    assert heard["begun_token_ids"] == [5, 6]
    assert heard["conversation"]["tools"] == [
        {"name": "find", "description": "finds", "parameters": "{}"}
    ]
    assert heard["conversation"]["tool_choice"] == "TOOL_CHOICE_REQUIRED"
    assert heard["sampling"] == {
        "min_p": 0.25,
        "logit_biases": [{"token_id": 3, "bias": -100}],
        "response_format": {"choices": {"options": ["yes", "no"]}},
    }
    assert job.priority == job_pb2.PRIORITY_BATCH
    assert not job.operation.infer.begun_token_ids
    assert not job.operation.infer.sampling.HasField("response_format")
    assert job.operation.infer.sampling.min_p == 0.25


async def test_too_many_tools_are_refused_and_long_ones_count_as_prompt(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    user = inference_pb2.Message(role=inference_pb2.ROLE_USER, content="x")
    async with housed(tmp_path, monkeypatch) as house:
        many = inference_pb2.Conversation(
            messages=[user], tools=[inference_pb2.Tool(name="t")] * (TOOLS_MAX + 1)
        )
        error = await error_of(house.infer("", conversation=many))
        assert (error.reason, str(error)[:19]) == ("TOOLS_TOO_MANY", "there are 129 tools")
        long = inference_pb2.Tool(name="t", parameters="x" * PROMPT_CHARS_MAX)
        conversation = inference_pb2.Conversation(messages=[user], tools=[long])
        error = await error_of(house.infer("", conversation=conversation))
        assert error.reason == "PROMPT_TOO_LONG"
        shape = inference_pb2.ResponseFormat(regex="x" * PROMPT_CHARS_MAX)
        sampling = inference_pb2.SamplingParams(response_format=shape)
        error = await error_of(house.infer("x", sampling=sampling))
        assert error.reason == "PROMPT_TOO_LONG"
        assert house.hive.workers.all() == []
