"""What the worker answers, for the wire: pieces of an answer, ends, vectors, load."""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from google.protobuf.wrappers_pb2 import BytesValue
from numpy.typing import NDArray

from rbee.v1 import inference_pb2, operation_pb2, worker_pb2
from rbee_shared.contracts import wire
from rbee_worker.engine.load import Load
from rbee_worker.engine.request import Embeddings, Finish, Logprobs, Output, TokenLogprob, Usage
from rbee_worker.tools.tool import ToolCall


def completion_of(output: Output) -> inference_pb2.Completion:
    """Return a piece of an answer."""
    return inference_pb2.Completion(
        text=output.text,
        token_ids=output.token_ids,
        logprobs=[_logprobs_to_proto(each) for each in output.logprobs],
        index=output.index,
    )


def result_of(finishes: Mapping[int, Finish]) -> operation_pb2.Result:
    """Return how a request ended, from how each of its answers did, at least one.

    The seed is the first answer's, from which those of the others follow.
    """
    ordered = [finishes[index] for index in sorted(finishes)]
    return operation_pb2.Result(
        infer=operation_pb2.InferResult(
            usage=usage_to_proto(usage_of([finish.usage for finish in ordered])),
            finishes=[
                inference_pb2.Finish(
                    index=index,
                    reason=inference_pb2.FinishReason.ValueType(finishes[index].reason),
                    stop=finishes[index].stop,
                    tool_calls=_calls_to_proto(finishes[index].tool_calls),
                )
                for index in sorted(finishes)
            ],
            seed=ordered[0].seed,
        )
    )


def usage_of(usages: Sequence[Usage]) -> Usage:
    """Return what a request with these answers cost: the prompt once, and the slowest's times.

    What of the prompt was still there is what the answer that computed it found there: the others
    find all that it left.
    """
    return Usage(
        prompt_tokens=max(each.prompt_tokens for each in usages),
        completion_tokens=sum(each.completion_tokens for each in usages),
        cached_tokens=min(each.cached_tokens for each in usages),
        queue_s=max(each.queue_s for each in usages),
        first_token_s=max(each.first_token_s for each in usages),
        total_s=max(each.total_s for each in usages),
        interval_s=max(each.interval_s for each in usages),
        interval_s_max=max(each.interval_s_max for each in usages),
    )


def usage_to_proto(usage: Usage) -> inference_pb2.Usage:
    """Return what a request cost."""
    message = inference_pb2.Usage(
        prompt_tokens=usage.prompt_tokens,
        completion_tokens=usage.completion_tokens,
        cached_tokens=usage.cached_tokens,
        queue_duration=wire.duration(usage.queue_s),
        first_token_duration=wire.duration(usage.first_token_s),
        total_duration=wire.duration(usage.total_s),
    )
    if usage.interval_s_max:  # a single token has no other to come after
        message.inter_token_duration.CopyFrom(wire.duration(usage.interval_s))
        message.inter_token_duration_max.CopyFrom(wire.duration(usage.interval_s_max))
    return message


def vectors_of(embeddings: Embeddings, *, total_s: float) -> operation_pb2.Result:
    """Return vectors, and what they cost."""
    return operation_pb2.Result(
        embed=operation_pb2.EmbedResult(
            embeddings=[_vector_to_proto(vector) for vector in embeddings.vectors],
            usage=inference_pb2.Usage(
                prompt_tokens=embeddings.prompt_tokens, total_duration=wire.duration(total_s)
            ),
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


def _vector_to_proto(vector: NDArray[np.float32]) -> operation_pb2.Embedding:
    # packed numbers are on the wire what bytes are, and their field is the first as well, so they
    # are copied as a whole: a list takes up to nine times as long, and holds up the engine's thread
    packed = BytesValue(value=vector.astype("<f4").tobytes())
    return operation_pb2.Embedding.FromString(packed.SerializeToString())


def _calls_to_proto(calls: Iterable[ToolCall]) -> list[inference_pb2.ToolCall]:
    return [
        inference_pb2.ToolCall(id=call.id, name=call.name, arguments=call.arguments)
        for call in calls
    ]


def _logprobs_to_proto(logprobs: Logprobs) -> inference_pb2.Logprobs:
    return inference_pb2.Logprobs(
        chosen=_logprob_to_proto(logprobs.chosen),
        alternatives=[_logprob_to_proto(each) for each in logprobs.alternatives],
    )


def _logprob_to_proto(each: TokenLogprob) -> inference_pb2.TokenLogprob:
    return inference_pb2.TokenLogprob(token_id=each.token, text=each.text, logprob=each.logprob)
