"""Stands where `rbee_worker` stands: a process that serves WorkerService and has no model.

What it does beyond that is in `standin.json` of the folder it is given, as `Behaviour` has it.
"""

import argparse
import asyncio
import json
import os
import sys
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
from google.protobuf.json_format import MessageToJson

from rbee.v1 import (
    inference_pb2,
    job_pb2,
    operation_pb2,
    worker_pb2,
    worker_service_pb2 as pb,
    worker_service_pb2_grpc as rpc,
)
from rbee_shared.errors import FailedPreconditionError
from rbee_shared.lifecycle.daemon import run_daemon
from rbee_shared.lifecycle.ready import Ready, announce
from rbee_shared.lifecycle.signals import stop_requested
from rbee_shared.narration.line import write_line
from rbee_shared.narration.narrate import add_sink, narrate, set_actor
from rbee_shared.rpc.server import serving

HANG, DIE, ECHO = "hang", "die", "echo"


@dataclass(frozen=True)
class Behaviour:
    """Paths are of FIFOs; opening one waits for the other side."""

    starts_at: str = ""  # where it waits before it is ready
    ends_at: str = ""  # where it waits between SIGTERM and its end
    fails: str = ""  # the message of the error that ends its start
    address: str = ""  # where its services are, if somebody else serves them


def said(text: str, index: int = 0) -> job_pb2.JobEvent:
    """Return a token of an answer."""
    return job_pb2.JobEvent(
        sequence=index, completion=inference_pb2.Completion(text=text, token_ids=[index])
    )


def state(value: job_pb2.JobState.ValueType) -> job_pb2.JobEvent:
    """Return a change of state."""
    return job_pb2.JobEvent(state=job_pb2.JobStateChange(state=value))


def done(seed: int = 7) -> list[job_pb2.JobEvent]:
    """Return the end of an answer."""
    result = operation_pb2.Result(infer=operation_pb2.InferResult(seed=seed))
    return [job_pb2.JobEvent(result=result), state(job_pb2.JOB_STATE_COMPLETED)]


class Standin(rpc.WorkerServiceServicer):
    """Repeats each prompt, but begins an answer to `HANG` that has no end, and dies of `DIE`.

    To `ECHO` it answers with the whole request, as JSON. Each text's vector is its length.
    """

    async def Generate(
        self, request: pb.GenerateRequest, context: Any
    ) -> AsyncGenerator[pb.GenerateResponse]:
        yield pb.GenerateResponse(events=[state(job_pb2.JOB_STATE_RUNNING)])
        if request.prompt == HANG:
            yield pb.GenerateResponse(events=[said("begun", 1)])
            await asyncio.Event().wait()
        if request.prompt == DIE:
            os.write(sys.stderr.fileno(), b"out of memory\n")
            os._exit(3)
        messages = [message.content for message in request.conversation.messages]
        text = " ".join(messages) or request.prompt
        if text == ECHO:
            text = MessageToJson(request, preserving_proto_field_name=True)
        yield pb.GenerateResponse(events=[said(text, 1), *done()])

    async def Embed(
        self, request: pb.EmbedRequest, context: Any
    ) -> AsyncGenerator[pb.EmbedResponse]:
        yield pb.EmbedResponse(events=[state(job_pb2.JOB_STATE_RUNNING)])
        if DIE in request.inputs:
            os._exit(3)
        vectors = [operation_pb2.Embedding(values=[len(text), 0.5]) for text in request.inputs]
        result = operation_pb2.Result(embed=operation_pb2.EmbedResult(embeddings=vectors))
        result.embed.usage.prompt_tokens = len(vectors)
        ended = state(job_pb2.JOB_STATE_COMPLETED)
        yield pb.EmbedResponse(events=[job_pb2.JobEvent(result=result), ended])

    async def WatchWorker(
        self, request: pb.WatchWorkerRequest, context: Any
    ) -> AsyncGenerator[pb.WatchWorkerResponse]:
        load = worker_pb2.WorkerLoad(slots=1, token_count=42)
        yield pb.WatchWorkerResponse(load=load, resident_memory_bytes=4_096)
        await asyncio.Event().wait()


def add_standin(server: grpc.aio.Server) -> list[str]:
    """Add the service to a server."""
    rpc.add_WorkerServiceServicer_to_server(Standin(), server)
    return []


def _behaviour(folder: Path) -> Behaviour:
    file = folder / "standin.json"
    return Behaviour(**json.loads(file.read_text())) if file.exists() else Behaviour()


def _pass(fifo: str, mode: str) -> None:
    if fifo:
        with Path(fifo).open(mode):
            """Somebody is there."""


async def _run(arguments: argparse.Namespace) -> None:
    behaviour = await asyncio.to_thread(_behaviour, arguments.model)
    narrate("load", "loading")
    await asyncio.to_thread(_pass, behaviour.starts_at, "r")
    if behaviour.fails:
        raise FailedPreconditionError(behaviour.fails, reason="MODEL_ODD", hint="take another")
    async with serving(arguments.listen, add_standin, find_story=lambda _: None, grace_s=0) as own:
        stopping = asyncio.ensure_future(stop_requested())
        await asyncio.sleep(0)  # a stop may come as soon as somebody knows that it is ready
        announce(Ready(address=behaviour.address or own, pid=os.getpid()))
        await stopping
        narrate("stop", "stopping")
        await asyncio.to_thread(_pass, behaviour.ends_at, "r")


def main() -> None:
    """Run as a worker does."""
    parser = argparse.ArgumentParser()
    for name in ("id", "listen", "device", "threads", "slots", "context"):
        parser.add_argument(f"--{name}")
    parser.add_argument("--model", type=Path)
    set_actor("worker")
    add_sink(write_line)
    sys.exit(run_daemon(_run(parser.parse_args())))


if __name__ == "__main__":
    main()
