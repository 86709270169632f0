"""What is asked of the worker, from the wire: generate requests as the engine's own values."""

import json
from typing import Any

from rbee.v1 import inference_pb2, job_pb2, worker_service_pb2 as pb
from rbee_shared.errors import InvalidArgumentError
from rbee_worker.constraints.constraint import Constraint, ConstraintKind
from rbee_worker.engine.request import Priority, Request
from rbee_worker.sampling.params import SamplingParams
from rbee_worker.tools.tool import ToolMode, check
from rbee_worker.wire.conversations import choice_of, messages_of, tools_of

PRIORITIES = {
    job_pb2.PRIORITY_UNSPECIFIED: Priority.INTERACTIVE,
    job_pb2.PRIORITY_INTERACTIVE: Priority.INTERACTIVE,
    job_pb2.PRIORITY_BATCH: Priority.BATCH,
}
AS_IT_IS = frozenset(
    {
        "temperature",
        "top_k",
        "top_p",
        "min_p",
        "seed",
        "max_tokens",
        "min_tokens",
        "ignore_eos",
        "repetition_penalty",
        "frequency_penalty",
        "presence_penalty",
        "logprobs",
        "n",
    }
)


def request_of(message: pb.GenerateRequest) -> Request:
    """Return what is asked for.

    Raises:
        InvalidArgumentError: there is nothing to answer, or what is asked for contradicts itself.
    """
    sampling = _sampling_of(message.sampling)
    begun = tuple(message.begun_token_ids)
    if begun and sampling.n > 1:
        raise InvalidArgumentError(
            f"{sampling.n} answers, and one that is begun already",
            reason="BEGUN_AMBIGUOUS",
            hint="go on with one answer at a time",
        )
    priority = PRIORITIES.get(message.priority, Priority.INTERACTIVE)
    constraint = _constraint_of(message.sampling.response_format)
    match message.WhichOneof("input"):
        case "prompt":
            return Request(
                sampling,
                prompt=message.prompt,
                begun=begun,
                priority=priority,
                constraint=constraint,
            )
        case "conversation":
            conversation = message.conversation
            tools, choice = tools_of(conversation.tools), choice_of(conversation)
            check(tools, choice)
            if constraint is not None and choice.mode is ToolMode.REQUIRED:
                raise InvalidArgumentError(
                    "a tool is to be called, and the answer is to look like something else",
                    reason="FORMAT_AMBIGUOUS",
                    hint="ask for a tool call or for a format of the answer, not for both",
                )
            return Request(
                sampling,
                messages=messages_of(conversation.messages),
                begun=begun,
                priority=priority,
                tools=tools,
                tool_choice=choice,
                constraint=constraint,
            )
        case None:
            raise InvalidArgumentError("there is nothing to answer", reason="INPUT_MISSING")


def _sampling_of(message: inference_pb2.SamplingParams) -> SamplingParams:
    asked: dict[str, Any] = {
        field.name: value  # what is unset is not listed, and takes the engine's default
        for field, value in message.ListFields()
        if field.name in AS_IT_IS
    }
    return SamplingParams(
        **asked,
        stop=tuple(message.stop),
        stop_token_ids=tuple(message.stop_token_ids),
        logit_bias=tuple((each.token_id, each.bias) for each in message.logit_biases),
    )


def _constraint_of(message: inference_pb2.ResponseFormat) -> Constraint | None:
    match message.WhichOneof("kind"):
        case "json_schema":
            return Constraint(ConstraintKind.JSON_SCHEMA, message.json_schema)
        case "regex":
            return Constraint(ConstraintKind.REGEX, message.regex)
        case "grammar":
            return Constraint(ConstraintKind.GRAMMAR, message.grammar)
        case "choices":
            options = list(message.choices.options)
            return Constraint(ConstraintKind.CHOICE, json.dumps(options, ensure_ascii=False))
        case None:
            return None
