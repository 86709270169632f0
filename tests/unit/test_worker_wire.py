from typing import Any

import pytest

from rbee.v1 import inference_pb2, job_pb2, worker_service_pb2 as pb
from rbee_shared.contracts import wire
from rbee_shared.errors import InvalidArgumentError
from rbee_worker.constraints.constraint import Constraint, ConstraintKind
from rbee_worker.engine.request import Finish, FinishReason, Priority, Usage
from rbee_worker.sampling.params import SamplingParams
from rbee_worker.tools.tool import AUTO, REQUIRED, Tool, ToolCall, named
from rbee_worker.wire.answers import result_of, usage_of, usage_to_proto
from rbee_worker.wire.requests import AS_IT_IS, request_of


def test_absent_is_the_default_and_zero_is_zero() -> None:
    assert request_of(pb.GenerateRequest(prompt="x")).sampling == SamplingParams()
    zero = inference_pb2.SamplingParams(temperature=0, seed=0)
    found = request_of(pb.GenerateRequest(prompt="x", sampling=zero)).sampling
    assert (found.temperature, found.seed) == (0, 0)


def test_all_of_sampling_comes_through_under_its_own_name() -> None:
    asked = inference_pb2.SamplingParams(
        temperature=0.5,
        top_k=3,
        top_p=0.75,
        min_p=0.25,
        seed=-9,
        max_tokens=8,
        min_tokens=2,
        stop=["a", "b"],
        stop_token_ids=[4, 5],
        ignore_eos=True,
        repetition_penalty=1.5,
        frequency_penalty=-0.5,
        presence_penalty=0.25,
        logit_biases=[inference_pb2.LogitBias(token_id=7, bias=-100)],
        logprobs=0,
        n=2,
    )
    assert request_of(pb.GenerateRequest(prompt="x", sampling=asked)).sampling == SamplingParams(
        temperature=0.5,
        top_k=3,
        top_p=0.75,
        min_p=0.25,
        seed=-9,
        max_tokens=8,
        min_tokens=2,
        stop=("a", "b"),
        stop_token_ids=(4, 5),
        ignore_eos=True,
        repetition_penalty=1.5,
        frequency_penalty=-0.5,
        presence_penalty=0.25,
        logit_bias=((7, -100.0),),
        logprobs=0,
        n=2,
    )


def test_every_field_of_sampling_is_known() -> None:
    fields = inference_pb2.SamplingParams.DESCRIPTOR.fields_by_name
    here = {"stop", "stop_token_ids", "logit_biases", "response_format"}
    assert set(fields) == AS_IT_IS | here


def test_a_begun_answer_and_its_priority_come_through() -> None:
    asked = pb.GenerateRequest(prompt="x", begun_token_ids=[1, 2], priority=job_pb2.PRIORITY_BATCH)
    request = request_of(asked)
    assert (request.begun, request.priority) == ((1, 2), Priority.BATCH)
    assert request_of(pb.GenerateRequest(prompt="x")).priority == Priority.INTERACTIVE
    asked.sampling.n = 2
    with pytest.raises(InvalidArgumentError, match="2 answers, and one that is begun"):
        request_of(asked)


@pytest.mark.parametrize(
    ("shape", "kind", "text"),
    [
        ({"json_schema": "{}"}, ConstraintKind.JSON_SCHEMA, "{}"),
        ({"regex": "a+"}, ConstraintKind.REGEX, "a+"),
        ({"grammar": "start: A"}, ConstraintKind.GRAMMAR, "start: A"),
        (
            {"choices": inference_pb2.Choices(options=["yes", "n\u00f3"])},
            ConstraintKind.CHOICE,
            '["yes", "n\u00f3"]',
        ),
    ],
    ids=["schema", "regex", "grammar", "choices"],
)
def test_what_an_answer_must_look_like_is_a_constraint(
    shape: dict[str, Any], kind: ConstraintKind, text: str
) -> None:
    sampling = inference_pb2.SamplingParams(response_format=inference_pb2.ResponseFormat(**shape))
    found = request_of(pb.GenerateRequest(prompt="x", sampling=sampling)).constraint
    assert found == Constraint(kind, text)


def conversation(**fields: Any) -> pb.GenerateRequest:
    user = inference_pb2.Message(role=inference_pb2.ROLE_USER, content="x")
    values: dict[str, Any] = {"messages": [user], **fields}
    return pb.GenerateRequest(conversation=inference_pb2.Conversation(**values))


FIND = inference_pb2.Tool(name="find", description="finds", parameters='{"type": "object"}')


def test_tools_and_the_choice_among_them_come_through() -> None:
    bare = inference_pb2.Tool(name="bare")
    request = request_of(conversation(tools=[FIND, bare]))
    assert request.tools == (Tool("find", "finds", {"type": "object"}), Tool("bare", "", {}))
    assert request.tool_choice == AUTO
    required = inference_pb2.TOOL_CHOICE_REQUIRED
    assert request_of(conversation(tools=[FIND], tool_choice=required)).tool_choice == REQUIRED
    found = request_of(conversation(tools=[FIND], tool_name="find")).tool_choice
    assert found == named("find")


def test_calls_and_their_results_are_as_templates_expect_them() -> None:
    call = inference_pb2.ToolCall(id="c-1", name="find", arguments='{"city": "Bern"}')
    messages = [
        inference_pb2.Message(role=inference_pb2.ROLE_ASSISTANT, tool_calls=[call]),
        inference_pb2.Message(role=inference_pb2.ROLE_TOOL, content="42", tool_call_id="c-1"),
    ]
    called, answered = request_of(conversation(messages=messages)).messages
    assert called["tool_calls"] == [
        {
            "id": "c-1",
            "type": "function",
            "function": {"name": "find", "arguments": {"city": "Bern"}},
        }
    ]
    assert answered == {"role": "tool", "content": "42", "tool_call_id": "c-1"}


@pytest.mark.parametrize("parameters", ["[]", "{", "1", "[" * 100_000])
def test_parameters_that_are_no_object_are_refused(parameters: str) -> None:
    with pytest.raises(InvalidArgumentError, match="tool 1") as error:
        request_of(conversation(tools=[inference_pb2.Tool(name="t", parameters=parameters)]))
    assert error.value.reason == "TOOLS_INVALID"


def test_a_call_and_another_form_at_once_are_refused() -> None:
    asked = conversation(tools=[FIND], tool_choice=inference_pb2.TOOL_CHOICE_REQUIRED)
    asked.sampling.response_format.regex = "a"
    with pytest.raises(InvalidArgumentError) as error:
        request_of(asked)
    assert error.value.reason == "FORMAT_AMBIGUOUS"
    asked.conversation.tool_choice = inference_pb2.TOOL_CHOICE_AUTO
    assert request_of(asked).constraint == Constraint(ConstraintKind.REGEX, "a")


def usage(**values: Any) -> Usage:
    zeros: dict[str, Any] = dict.fromkeys(Usage.__dataclass_fields__, 0)
    return Usage(**{**zeros, **values})


def test_several_answers_cost_the_prompt_once_and_the_time_of_the_slowest() -> None:
    first = usage(
        prompt_tokens=9, completion_tokens=5, cached_tokens=2, total_s=1.0, first_token_s=0.5
    )
    second = usage(
        prompt_tokens=9, completion_tokens=7, cached_tokens=9, total_s=3.0, interval_s_max=0.25
    )
    assert usage_of([first, second]) == usage(
        prompt_tokens=9,
        completion_tokens=12,
        cached_tokens=2,
        total_s=3.0,
        first_token_s=0.5,
        interval_s_max=0.25,
    )


def test_the_time_between_tokens_is_told_where_there_were_two() -> None:
    message = usage_to_proto(usage(interval_s=0.5, interval_s_max=2.0))
    assert wire.seconds(message.inter_token_duration) == 0.5
    assert wire.seconds(message.inter_token_duration_max) == 2.0
    assert not usage_to_proto(usage()).HasField("inter_token_duration")


def test_how_each_answer_ended_is_told_in_order() -> None:
    call = ToolCall("c-1", "find", "{}")
    finishes = {
        1: Finish(FinishReason.TOOL_CALLS, "", usage(), 8, tool_calls=(call,)),
        0: Finish(FinishReason.STOP, "END", usage(), 7),
    }
    result = result_of(finishes).infer
    assert result.seed == 7
    assert [(each.index, each.reason, each.stop) for each in result.finishes] == [
        (0, inference_pb2.FINISH_REASON_STOP, "END"),
        (1, inference_pb2.FINISH_REASON_TOOL_CALLS, ""),
    ]
    assert list(result.finishes[1].tool_calls) == [
        inference_pb2.ToolCall(id="c-1", name="find", arguments="{}")
    ]


def test_nothing_to_answer_is_refused() -> None:
    with pytest.raises(InvalidArgumentError, match="nothing to answer"):
        request_of(pb.GenerateRequest())


def test_all_faults_of_sampling_are_told_at_once() -> None:
    wrong = SamplingParams(temperature=3, top_k=-1, top_p=0, max_tokens=0, stop=("",) * 17)
    with pytest.raises(InvalidArgumentError) as info:
        wrong.check()
    for name in ("temperature", "top_k", "top_p", "max_tokens", "stop strings", "characters"):
        assert name in str(info.value)
