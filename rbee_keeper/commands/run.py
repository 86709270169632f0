"""`rbee run`: ask a model."""

import asyncio
import codecs
import sys
from typing import Annotated

import typer

from rbee.v1 import inference_pb2, job_pb2, operation_pb2 as pb
from rbee_client import Client
from rbee_keeper import here, output, queen
from rbee_keeper.blocking import blocking
from rbee_keeper.display import Display, opened_display
from rbee_keeper.follow import run_job
from rbee_keeper.lazy import verb
from rbee_keeper.options import (
    INT64_MAX,
    Device,
    Hive,
    Json,
    KeepAlive,
    Model,
    Timeout,
    Verbose,
    Voice,
    decimal,
    number,
)
from rbee_keeper.voice import chosen
from rbee_shared.contracts import wire
from rbee_shared.errors import InvalidArgumentError
from rbee_shared.ids import new_job_id
from rbee_shared.limits import PROMPT_CHARS_MAX

app = verb()


@app.command()
@blocking
async def run(
    model: Model,
    prompt: Annotated[
        str, typer.Argument(metavar="PROMPT", help="What to ask; joined with standard input.")
    ] = "",
    *,
    system: Annotated[str, typer.Option(metavar="TEXT", help="Sets the tone for the model.")] = "",
    temperature: Annotated[
        float,
        typer.Option(
            "--temperature",
            "-t",
            parser=decimal,
            metavar="X",
            help="0 to 2; 0 takes the likeliest token.",
        ),
    ] = 0.7,
    top_k: Annotated[
        int,
        typer.Option(parser=number(), metavar="N", help="Keep the N likeliest tokens; 0: all."),
    ] = 40,
    top_p: Annotated[
        float,
        typer.Option(parser=decimal, metavar="X", help="Keep the likeliest with this probability."),
    ] = 0.95,
    seed: Annotated[
        int | None,
        typer.Option(
            parser=number(-INT64_MAX, INT64_MAX),
            metavar="N",
            help="The same seed gives the same text.",
        ),
    ] = None,
    max_tokens: Annotated[
        int | None,
        typer.Option(parser=number(), metavar="N", help="End after so many tokens."),
    ] = None,
    stop: Annotated[
        list[str] | None,
        typer.Option(metavar="TEXT", help="End before this text; may be given again."),
    ] = None,
    hive: Hive = "",
    device: Device = "",
    worker: Annotated[str, typer.Option(metavar="ID", help="The worker to ask, by id.")] = "",
    keep_alive: KeepAlive = None,
    timeout_s: Timeout = None,
    raw: Annotated[
        bool, typer.Option("--raw", help="Give the prompt as it is, without chat template.")
    ] = False,
    detach: Annotated[
        bool, typer.Option("--detach", "-d", help="Print the job's id and leave it running.")
    ] = False,
    private: Annotated[
        bool,
        typer.Option("--private", help="Keep no text of the answer once it is given."),
    ] = False,
    separate_hive: Annotated[
        bool, typer.Option("--separate-hive", help="If the queen must start: with its own hive.")
    ] = False,
    as_json: Json = False,
    verbose: Verbose = False,
    mode: Voice = None,
) -> None:
    """Ask a model; the answer streams to standard output, everything else to standard error.

    Starts the queen, fetches the model and spawns a worker where needed. Ctrl-C cancels.

    Example: rbee run smollm2 "Why is the sky blue?" --seed 7
    """
    text = joined(prompt, await asyncio.to_thread(read_stdin))
    sampling = inference_pb2.SamplingParams(
        temperature=temperature,
        top_k=top_k,
        top_p=top_p,
        seed=seed,
        max_tokens=max_tokens,
        stop=stop or (),
    )
    asked = pb.InferOperation(
        model=here.named(model, hive),
        sampling=sampling,
        hive=hive,
        device=device,
        worker_id=worker,
    )
    if keep_alive is not None:
        asked.keep_alive.CopyFrom(wire.duration(keep_alive))
    if raw:
        asked.prompt = text
    else:
        _converse(asked, system, text)
    operation = pb.Operation(infer=asked)
    with opened_display(as_json=as_json, verbose=verbose, mode=chosen(mode)) as display:
        async with queen.client(display, separate_hive=separate_hive) as client:
            if detach:
                job_id = await _detached(client, operation, timeout_s, private=private)
                display.close()
                sys.stdout.write(job_id + "\n")
                return
            result = await run_job(client, operation, display, timeout_s=timeout_s, private=private)
        _close(display, result, verbose=verbose and not as_json)


def joined(prompt: str, stdin: str) -> str:
    """Return the prompt of argument and standard input, an empty line between them.

    Raises:
        InvalidArgumentError: there is neither, or it is too long.
    """
    text = "\n\n".join(part for part in (prompt, stdin.rstrip("\n")) if part.strip())
    if not text:
        raise InvalidArgumentError(
            "there is no prompt",
            reason="PROMPT_MISSING",
            hint='rbee run MODEL "your question", or pipe it in',
        )
    if len(text) > PROMPT_CHARS_MAX:
        raise InvalidArgumentError(
            f"the prompt has {len(text)} characters, at most {PROMPT_CHARS_MAX} are taken",
            reason="PROMPT_TOO_LONG",
        )
    return text


def read_stdin() -> str:
    """Return what is piped in, at most a little more than is taken; nothing from a terminal.

    Raises:
        InvalidArgumentError: it is no text.
    """
    if sys.stdin is None or sys.stdin.closed or sys.stdin.isatty():
        return ""
    try:
        # bytes, since Python would let through what is no text; a character has at most 4
        data = sys.stdin.buffer.read(4 * PROMPT_CHARS_MAX + 1)
        is_whole = len(data) <= 4 * PROMPT_CHARS_MAX  # else the last character may be cut
        return codecs.getincrementaldecoder("utf-8")().decode(data, final=is_whole)
    except UnicodeDecodeError as error:
        raise InvalidArgumentError(
            "standard input is not UTF-8 text", reason="PROMPT_NOT_TEXT"
        ) from error


def _converse(asked: pb.InferOperation, system: str, text: str) -> None:
    messages = asked.conversation.messages
    if system:
        messages.add(role=inference_pb2.ROLE_SYSTEM, content=system)
    messages.add(role=inference_pb2.ROLE_USER, content=text)


async def _detached(
    client: Client, operation: pb.Operation, timeout_s: float | None, *, private: bool
) -> str:
    job_id = new_job_id()
    events = client.run(
        operation,
        job_id=job_id,
        on_disconnect=job_pb2.ON_DISCONNECT_DETACH,
        timeout_s=timeout_s,
        private=private,
    )
    await anext(events)  # the first event: the job is accepted
    await events.aclose()
    return job_id


def _close(display: Display, result: pb.Result, *, verbose: bool) -> None:
    display.close()
    if not verbose:
        return
    usage, infer = result.infer.usage, result.infer
    total_s, first_s = wire.seconds(usage.total_duration), wire.seconds(usage.first_token_duration)
    rate = usage.completion_tokens / max(1e-9, total_s - first_s)
    output.say(
        f"{usage.prompt_tokens} tokens in, {usage.completion_tokens} out, first after"
        f" {first_s * 1000:.0f} ms, {rate:.1f} tokens/s, seed {infer.seed}, {infer.worker_id}"
        f" on {infer.hive}"
    )
