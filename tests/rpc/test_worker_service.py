"""The worker's own service over a real channel, with an engine that says what a test has it say."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import grpc
import numpy as np
import pytest

from rbee.v1 import inference_pb2, job_pb2, worker_service_pb2 as pb, worker_service_pb2_grpc as rpc
from rbee_shared.errors import InvalidArgumentError, UnimplementedError
from rbee_shared.jobs.relay import Batch, relay
from rbee_shared.jobs.runner import running_jobs
from rbee_shared.limits import EMBED_INPUTS_MAX, EMBEDDINGS_BYTES_MAX, MESSAGE_BYTES_MAX
from rbee_shared.rpc.channel import connected
from rbee_shared.rpc.server import serving
from rbee_shared.rpc.stream import responses
from rbee_worker.engine.load import Load
from rbee_worker.engine.request import (
    Embeddings,
    Finish,
    FinishReason,
    Logprobs,
    Output,
    Request,
    TokenLogprob,
    Usage,
)
from rbee_worker.worker_service import WorkerService, check_fits
from tests.hives import refuse
from tests.rpc.hive_pool import error_of


@dataclass
class Scripted:
    """An engine without a model; `size` 0 is one whose model has no vectors."""

    outputs: Sequence[Output] = ()
    size: int = 2
    load: Load = field(default_factory=Load)
    left: asyncio.Event = field(default_factory=asyncio.Event)

    slots: int = 1

    @property
    def embedding_size(self) -> int:
        if not self.size:
            raise UnimplementedError("no vectors", reason="EMBED_UNSUPPORTED")
        return self.size

    async def generate(self, request: Request) -> AsyncGenerator[Output]:
        try:
            for output in self.outputs:
                yield output
            if not self.outputs:
                await asyncio.Event().wait()
        finally:
            self.left.set()

    async def embed(self, texts: Sequence[str]) -> Embeddings:
        lengths = [float(len(text)) for text in texts]
        vectors = np.repeat(np.array(lengths, np.float32)[:, None], self.size, axis=1)
        return Embeddings(vectors, prompt_tokens=len(texts))


@asynccontextmanager
async def worker(folder: Path, engine: Scripted) -> AsyncGenerator["rpc.WorkerServiceAsyncStub"]:
    async with asyncio.timeout(20), running_jobs(refuse, who="worker") as runner:

        def add_services(server: grpc.aio.Server) -> list[str]:
            service = WorkerService("tiny", engine, runner, lambda: 0.0)
            rpc.add_WorkerServiceServicer_to_server(service, server)
            return []

        async with (
            serving(
                f"unix:{folder}/w.sock", add_services, find_story=lambda _: None, grace_s=0
            ) as address,
            connected(address) as channel,
        ):
            yield rpc.WorkerServiceStub(channel)


async def told_by(call: AsyncGenerator[Batch]) -> list[job_pb2.JobEvent]:
    return [event async for batch in call for event in batch.events]


def finish(seed: int = 7) -> Finish:
    return Finish(FinishReason.STOP, "", Usage(3, 2, 1, 0.0, 0.5, 1.0, 0.25, 0.5), seed)


def asked(n: int = 1) -> pb.GenerateRequest:
    return pb.GenerateRequest(prompt="x", sampling=inference_pb2.SamplingParams(n=n))


async def test_mixed_answers_come_with_their_numbers_and_end_with_the_last(
    tmp_path: Path,
) -> None:
    chosen = TokenLogprob(5, b"\xc3", -0.5)
    engine = Scripted(
        [
            Output("a", (1,)),
            Output("b", (5,), index=1, logprobs=(Logprobs(chosen, (chosen,)),)),
            Output("", (), finish(), index=0),
            Output("c", (3,), finish(8), index=1),
        ]
    )
    async with worker(tmp_path, engine) as stub:
        events = await told_by(responses(stub.Generate(asked(n=2)), "worker"))
    pieces = [event.completion for event in events if event.HasField("completion")]
    assert [(each.index, each.text) for each in pieces] == [(0, "a"), (1, "bc")]
    [logprobs] = pieces[1].logprobs
    assert (logprobs.chosen.text, logprobs.chosen.logprob) == (b"\xc3", -0.5)
    result = events[-2].result.infer
    assert ([each.index for each in result.finishes], result.seed) == ([0, 1], 7)
    assert (result.usage.prompt_tokens, result.usage.completion_tokens) == (3, 4)
    assert result.usage.cached_tokens == 1
    assert events[-1].state.state == job_pb2.JOB_STATE_COMPLETED
    assert engine.left.is_set()


async def test_an_answer_of_two_that_never_ends_is_no_result(tmp_path: Path) -> None:
    engine = Scripted([Output("a", (1,), finish())])
    async with worker(tmp_path, engine) as stub:
        error = await error_of(relay(responses(stub.Generate(asked(n=2)), "w"), peer="w"))
    assert error.reason == "CANCELLED"


async def test_the_end_of_the_call_stops_the_work(tmp_path: Path) -> None:
    engine = Scripted()
    async with worker(tmp_path, engine) as stub:
        call = stub.Generate(asked())
        async for _ in call:
            break
        call.cancel()
        await engine.left.wait()


async def test_texts_become_vectors_in_their_order(tmp_path: Path) -> None:
    async with worker(tmp_path, Scripted(size=3)) as stub:
        call = stub.Embed(pb.EmbedRequest(inputs=["one", "three"]))
        result = (await relay(responses(call, "worker"), peer="worker")).embed
    assert [list(each.values) for each in result.embeddings] == [[3.0] * 3, [5.0] * 3]
    assert result.usage.prompt_tokens == 2


@pytest.mark.parametrize(
    ("size", "count", "reason"),
    [
        (2, 0, "INPUTS_MALFORMED"),
        (2, EMBED_INPUTS_MAX + 1, "INPUTS_MALFORMED"),
        (4_096, EMBED_INPUTS_MAX, "EMBEDDINGS_TOO_LARGE"),
        (0, 1, "EMBED_UNSUPPORTED"),
    ],
)
async def test_vectors_that_cannot_be_are_refused_before_any_work(
    tmp_path: Path, size: int, count: int, reason: str
) -> None:
    async with worker(tmp_path, Scripted(size=size)) as stub:
        call = stub.Embed(pb.EmbedRequest(inputs=["x"] * count))
        error = await error_of(told_by(responses(call, "worker")))
    assert error.reason == reason


async def test_as_many_vectors_as_are_taken_fit_into_a_message(tmp_path: Path) -> None:
    size = 4_096
    with pytest.raises(InvalidArgumentError, match=r"2048 vectors of 4096 numbers .* (\d+) do"):
        check_fits(EMBED_INPUTS_MAX, size)
    fitting = EMBEDDINGS_BYTES_MAX // (4 * size + 16)
    async with worker(tmp_path, Scripted(size=size)) as stub:
        call = stub.Embed(pb.EmbedRequest(inputs=["x"] * fitting))
        result = await relay(responses(call, "worker"), peer="worker")
    assert len(result.embed.embeddings) == fitting
    assert MESSAGE_BYTES_MAX - 256 * 1024 < result.ByteSize() < MESSAGE_BYTES_MAX
