"""Between the engine's frozen values and wire messages."""

from rbee.v1 import inference_pb2, operation_pb2, worker_pb2, worker_service_pb2 as pb
from rbee_shared.contracts import wire
from rbee_shared.errors import InvalidArgumentError, UnimplementedError
from rbee_worker.engine.request import Finish, Request
from rbee_worker.engine.step_loop import Load
from rbee_worker.sampling.params import SamplingParams

ROLES = {
    inference_pb2.ROLE_SYSTEM: "system",
    inference_pb2.ROLE_USER: "user",
    inference_pb2.ROLE_ASSISTANT: "assistant",
    inference_pb2.ROLE_TOOL: "tool",
}
SUPPORTED = {"temperature", "top_k", "top_p", "seed", "max_tokens", "stop"}


def request_of(message: pb.GenerateRequest) -> Request:
    """Return what is asked for.

    Raises:
        InvalidArgumentError: there is nothing to answer.
        UnimplementedError: it asks for what this worker cannot do; nothing is left out in silence.
    """
    sampling = _sampling_of(message.sampling)
    if message.begun_token_ids:
        raise UnimplementedError("this worker cannot go on with a begun answer")
    match message.WhichOneof("input"):
        case "prompt":
            return Request(sampling, prompt=message.prompt)
        case "conversation":
            messages = tuple(
                {"role": ROLES.get(each.role, ""), "content": each.content}
                for each in message.conversation.messages
            )
            return Request(sampling, messages=messages)
        case None:
            raise InvalidArgumentError("there is nothing to answer", reason="INPUT_MISSING")


def _sampling_of(message: inference_pb2.SamplingParams) -> SamplingParams:
    unknown = sorted({field.name for field, _ in message.ListFields()} - SUPPORTED)
    if unknown:
        raise UnimplementedError(
            f"this worker does not know {', '.join(unknown)}", reason="SAMPLING_UNSUPPORTED"
        )
    default = SamplingParams()
    return SamplingParams(
        temperature=message.temperature if message.HasField("temperature") else default.temperature,
        top_k=message.top_k,
        top_p=message.top_p if message.HasField("top_p") else default.top_p,
        seed=message.seed if message.HasField("seed") else None,
        max_tokens=message.max_tokens if message.HasField("max_tokens") else None,
        stop=tuple(message.stop),
    )


def result_of(finish: Finish) -> operation_pb2.Result:
    """Return how an answer ended."""
    usage = finish.usage
    return operation_pb2.Result(
        infer=operation_pb2.InferResult(
            usage=inference_pb2.Usage(
                prompt_tokens=usage.prompt_tokens,
                completion_tokens=usage.completion_tokens,
                queue_duration=wire.duration(usage.queue_s),
                first_token_duration=wire.duration(usage.first_token_s),
                total_duration=wire.duration(usage.total_s),
            ),
            finishes=[
                inference_pb2.Finish(
                    reason=inference_pb2.FinishReason.ValueType(finish.reason), stop=finish.stop
                )
            ],
            seed=finish.seed,
        )
    )


def load_to_proto(load: Load, *, slots: int) -> worker_pb2.WorkerLoad:
    """Return what the engine is doing."""
    return worker_pb2.WorkerLoad(
        running=load.running,
        waiting=load.waiting,
        slots=slots,
        token_count=load.token_count,
        tokens_per_second=load.tokens_per_second,
        kv_cache_usage=load.cache_usage,
    )
