"""Answering with a model on this hive: have the model, have a worker, pass on what it says."""

from functools import partial

from rbee.v1 import inference_pb2, job_pb2, operation_pb2, worker_service_pb2 as pb
from rbee_hive.asking import ask
from rbee_hive.devices import device_id, device_named
from rbee_hive.hive import Hive
from rbee_hive.workers.admission import Demand, check_terms, default_context
from rbee_hive.workers.states import SERVING
from rbee_hive.workers.supervisor import Wanted
from rbee_hive.workers.worker import Worker
from rbee_shared.contracts import wire
from rbee_shared.errors import (
    FailedPreconditionError,
    InvalidArgumentError,
)
from rbee_shared.limits import MESSAGES_MAX, PROMPT_CHARS_MAX, TOOLS_MAX
from rbee_shared.narration.context import current
from rbee_shared.narration.event import Level
from rbee_shared.narration.narrate import narrate


async def infer(hive: Hive, operation: operation_pb2.InferOperation) -> operation_pb2.InferResult:
    """Answer; the tokens go to the current job.

    Raises:
        RbeeError: why there is no answer.
    """
    _check(operation)
    request = pb.GenerateRequest(
        sampling=operation.sampling,
        begun_token_ids=operation.begun_token_ids,
        priority=job_pb2.Priority.ValueType(current().priority),
    )
    if operation.HasField("conversation"):
        request.conversation.CopyFrom(operation.conversation)
    else:
        request.prompt = operation.prompt
    worker, result = await ask(
        partial(_worker_for, hive, operation),
        lambda stub: stub.Generate(request),
        retries=not operation.worker_id,
    )
    found = result.infer
    found.model, found.hive, found.worker_id = worker.spec.model, hive.name, worker.spec.id
    return found


async def wanted_for(
    hive: Hive,
    model_text: str,
    *,
    device: str,
    cores: int = 0,
    context_length: int = 0,
    slots: int = 0,
    keep_alive_s: float | None = None,
) -> Wanted:
    """Have the model here, pulled if need be, and return what a worker for it is to be like.

    Raises:
        RbeeError: the model or the device cannot be had, or the context is longer than it has.
    """
    slots = slots or hive.settings.hive_slots
    check_terms(cores=cores, context_length=context_length, slots=slots)
    reference = hive.models.reference(model_text)
    model = await hive.models.find(reference)
    if model is None:
        if device:  # told before anything is fetched for it
            device_named(await hive.workers.devices(), device, hive.name)
        model = await hive.models.pull(reference)
    if context_length > model.context_length:
        raise InvalidArgumentError(
            f"a context of {context_length} tokens; the model has {model.context_length}",
            reason="CONTEXT_TOO_LONG",
            hint="0 takes what the model has",
        )
    keep = hive.settings.hive_keep_alive_s if keep_alive_s is None else keep_alive_s
    return Wanted(
        model=model.reference,
        alias=model.alias,
        folder=model.folder,
        demand=Demand(
            weights_bytes=model.weights_bytes,
            kv_bytes_per_token=model.kv_bytes_per_token,
            context_length=context_length or default_context(model.context_length),
            cores=cores,
            slots=slots,
            kv_value_bytes=model.description.kv_value_bytes,
        ),
        device=device,
        keep_alive_s=keep,
    )


async def _worker_for(hive: Hive, operation: operation_pb2.InferOperation) -> Worker:
    worker = await _chosen(hive, operation)
    narrate(
        "infer_start",
        "{model} answers on {worker}",
        target=worker.spec.id,
        level=Level.DEBUG,
        model=worker.spec.alias or worker.spec.model,
        worker=worker.spec.id,
        cute="{worker} hums the answer of {model}",
        story='"I take this one", says {worker}, who knows {model}',
    )
    return worker


async def _chosen(hive: Hive, operation: operation_pb2.InferOperation) -> Worker:
    if operation.worker_id:
        worker = hive.workers.get(operation.worker_id)
        _check_worker(hive, worker, operation)
        return worker
    keep_alive_s = wire.seconds(operation.keep_alive) if operation.HasField("keep_alive") else None
    wanted = await wanted_for(
        hive, operation.model, device=operation.device, keep_alive_s=keep_alive_s
    )
    return await hive.workers.serving(wanted)


def _check_worker(hive: Hive, worker: Worker, operation: operation_pb2.InferOperation) -> None:
    spec = worker.spec
    if worker.state not in SERVING:
        raise FailedPreconditionError(
            f"worker `{spec.id}` is {worker.state.name.lower()}",
            reason="WORKER_NOT_READY",
            hint="leave `--worker` out: the hive chooses one",
        )
    if hive.models.reference(operation.model).text != spec.model:
        raise FailedPreconditionError(
            f"worker `{spec.id}` serves `{spec.alias or spec.model}`, not `{operation.model}`",
            reason="WORKER_MISMATCH",
            hint=f"ask for `{spec.alias or spec.model}`, or leave `--worker` out",
        )
    if operation.device and device_id(operation.device) != spec.grant.device:
        raise FailedPreconditionError(
            f"worker `{spec.id}` is on `{spec.grant.device}`, not on `{operation.device}`",
            reason="WORKER_MISMATCH",
            hint="leave `--device` or `--worker` out",
        )


def _check(operation: operation_pb2.InferOperation) -> None:
    texts = _format_texts(operation.sampling.response_format)
    match operation.WhichOneof("input"):
        case "conversation":
            _check_conversation(operation.conversation)
            texts += _conversation_texts(operation.conversation)
        case "prompt":
            texts.append(operation.prompt)
        case None:
            raise InvalidArgumentError(
                "there is nothing to answer",
                reason="INPUT_MISSING",
                hint="send a prompt or a conversation",
            )
    length = sum(map(len, texts))
    if length > PROMPT_CHARS_MAX:
        raise InvalidArgumentError(
            f"the prompt has {length} characters, at most {PROMPT_CHARS_MAX} are taken",
            reason="PROMPT_TOO_LONG",
            hint="send less; the model's context holds far less",
        )


def _check_conversation(conversation: inference_pb2.Conversation) -> None:
    messages = conversation.messages
    if not 1 <= len(messages) <= MESSAGES_MAX:
        raise InvalidArgumentError(
            f"a conversation has 1 to {MESSAGES_MAX} messages, this one {len(messages)}",
            reason="CONVERSATION_MALFORMED",
        )
    if any(message.role == inference_pb2.ROLE_UNSPECIFIED for message in messages):
        raise InvalidArgumentError("a message has no role", reason="CONVERSATION_MALFORMED")
    if len(conversation.tools) > TOOLS_MAX:
        raise InvalidArgumentError(
            f"there are {len(conversation.tools)} tools, at most {TOOLS_MAX} are taken",
            reason="TOOLS_TOO_MANY",
        )


def _conversation_texts(conversation: inference_pb2.Conversation) -> list[str]:
    texts = [message.content for message in conversation.messages]
    calls = [call for message in conversation.messages for call in message.tool_calls]
    texts += [text for call in calls for text in (call.name, call.arguments)]
    for tool in conversation.tools:
        texts += (tool.name, tool.description, tool.parameters)
    return texts


def _format_texts(asked: inference_pb2.ResponseFormat) -> list[str]:
    return [asked.json_schema, asked.regex, asked.grammar, *asked.choices.options]
