"""`rbee run`: ask a model."""

import asyncio
import sys
from typing import Annotated

import typer

from rbee.v1 import inference_pb2, job_pb2, operation_pb2 as pb
from rbee_client import Client
from rbee_keeper import here, output, queen
from rbee_keeper.blocking import blocking
from rbee_keeper.display import Display, opened_display
from rbee_keeper.follow import run_job
from rbee_keeper.formats import (
    FORM,
    Choice,
    Grammar,
    Regex,
    Schema,
    ToolChoice,
    ToolsFile,
    add_tools,
    response_format,
)
from rbee_keeper.lazy import SectionedCommand, verb
from rbee_keeper.options import (
    PLACE,
    Device,
    Hive,
    Json,
    KeepAlive,
    Model,
    Priority,
    Timeout,
    Verbose,
    Voice,
    number,
)
from rbee_keeper.prompt import joined, read_stdin
from rbee_keeper.sampling import (
    ANSWERS_MAX,
    FrequencyPenalty,
    IgnoreEos,
    LogitBias,
    Logprobs,
    MaxTokens,
    MinP,
    MinTokens,
    PresencePenalty,
    RepetitionPenalty,
    Seed,
    Stop,
    StopToken,
    Temperature,
    TopK,
    TopP,
)
from rbee_keeper.voice import chosen
from rbee_shared.contracts import wire
from rbee_shared.ids import new_job_id

PRIORITIES = {
    "interactive": job_pb2.PRIORITY_INTERACTIVE,
    "batch": job_pb2.PRIORITY_BATCH,
}
Answers = Annotated[
    int | None,
    typer.Option(
        "--answers",
        "-n",
        parser=number(1, ANSWERS_MAX),
        metavar="N",
        help="Give so many answers, one after the other.",
        rich_help_panel=FORM,
    ),
]

app = verb()


@app.command(cls=SectionedCommand)
@blocking
async def run(
    model: Model,
    prompt: Annotated[
        str, typer.Argument(metavar="PROMPT", help="What to ask; joined with standard input.")
    ] = "",
    *,
    system: Annotated[str, typer.Option(metavar="TEXT", help="Sets the tone for the model.")] = "",
    temperature: Temperature = 0.7,
    top_k: TopK = 40,
    top_p: TopP = 0.95,
    min_p: MinP = None,
    seed: Seed = None,
    repetition_penalty: RepetitionPenalty = None,
    frequency_penalty: FrequencyPenalty = None,
    presence_penalty: PresencePenalty = None,
    logit_bias: LogitBias = None,
    logprobs: Logprobs = None,
    max_tokens: MaxTokens = None,
    min_tokens: MinTokens = None,
    stop: Stop = None,
    stop_token: StopToken = None,
    ignore_eos: IgnoreEos = False,
    answers: Answers = None,
    schema: Schema = None,
    regex: Regex = None,
    choice: Choice = None,
    grammar: Grammar = None,
    tools: ToolsFile = None,
    tool_choice: ToolChoice = None,
    hive: Hive = "",
    device: Device = "",
    worker: Annotated[
        str,
        typer.Option(metavar="ID", help="The worker to ask, by id.", rich_help_panel=PLACE),
    ] = "",
    keep_alive: KeepAlive = None,
    timeout_s: Timeout = None,
    priority: Priority = "interactive",
    raw: Annotated[
        bool, typer.Option("--raw", help="Give the prompt as it is, without chat template.")
    ] = False,
    detach: Annotated[
        bool,
        typer.Option(
            "--detach",
            "-d",
            help="Print the job's id and leave it running.",
            rich_help_panel=PLACE,
        ),
    ] = False,
    private: Annotated[
        bool,
        typer.Option(
            "--private",
            help="Keep no text of the answer once it is given.",
            rich_help_panel=PLACE,
        ),
    ] = False,
    separate_hive: Annotated[
        bool,
        typer.Option(
            "--separate-hive",
            help="If the queen must start: with its own hive.",
            rich_help_panel=PLACE,
        ),
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
        min_p=min_p,
        seed=seed,
        repetition_penalty=repetition_penalty,
        frequency_penalty=frequency_penalty,
        presence_penalty=presence_penalty,
        logit_biases=logit_bias or (),
        logprobs=logprobs,
        max_tokens=max_tokens,
        min_tokens=min_tokens,
        stop=stop or (),
        stop_token_ids=stop_token or (),
        ignore_eos=ignore_eos,
        n=answers,
        response_format=response_format(
            schema=schema, regex=regex, choices=choice, grammar=grammar
        ),
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
        _take_raw(asked, text, has_tools=bool(tools or tool_choice))
    else:
        _converse(asked, system, text)
        add_tools(asked.conversation, tools, tool_choice)
    operation = pb.Operation(infer=asked)
    with opened_display(as_json=as_json, verbose=verbose, mode=chosen(mode)) as display:
        async with queen.client(display, separate_hive=separate_hive) as client:
            if detach:
                job_id = await _detached(
                    client, operation, timeout_s, private=private, priority=priority
                )
                display.close()
                sys.stdout.write(job_id + "\n")
                return
            result = await run_job(
                client,
                operation,
                display,
                timeout_s=timeout_s,
                private=private,
                priority=PRIORITIES[priority],
            )
        _close(display, result, verbose=verbose and not as_json)


def _take_raw(asked: pb.InferOperation, text: str, *, has_tools: bool) -> None:
    if has_tools:
        raise typer.BadParameter("--tools are told by the chat template, which --raw leaves out")
    asked.prompt = text


def _converse(asked: pb.InferOperation, system: str, text: str) -> None:
    messages = asked.conversation.messages
    if system:
        messages.add(role=inference_pb2.ROLE_SYSTEM, content=system)
    messages.add(role=inference_pb2.ROLE_USER, content=text)


async def _detached(
    client: Client,
    operation: pb.Operation,
    timeout_s: float | None,
    *,
    private: bool,
    priority: str,
) -> str:
    job_id = new_job_id()
    events = client.run(
        operation,
        job_id=job_id,
        on_disconnect=job_pb2.ON_DISCONNECT_DETACH,
        timeout_s=timeout_s,
        private=private,
        priority=PRIORITIES[priority],
    )
    await anext(events)  # the first event: the job is accepted
    await events.aclose()
    return job_id


def _close(display: Display, result: pb.Result, *, verbose: bool) -> None:
    display.close()
    if not verbose:
        return
    output.say(summary(result.infer))


def summary(infer: pb.InferResult) -> str:
    """Return what an answer cost, on a line."""
    usage = infer.usage
    total_s, first_s = wire.seconds(usage.total_duration), wire.seconds(usage.first_token_duration)
    parts = [
        f"{usage.prompt_tokens} tokens in ({usage.cached_tokens} known already)",
        f"{usage.completion_tokens} out",
        f"first after {first_s * 1000:.0f} ms",
    ]
    if usage.HasField("inter_token_duration"):
        between_s = wire.seconds(usage.inter_token_duration)
        most_s = wire.seconds(usage.inter_token_duration_max)
        parts.append(f"then each {between_s * 1000:.1f} ms, at most {most_s * 1000:.0f} ms")
    later = usage.completion_tokens - len(infer.finishes)  # without what the first wait was for
    if later > 0 and total_s > first_s:
        parts.append(f"{later / (total_s - first_s):.1f} tokens/s")
    parts += [f"seed {infer.seed}", f"{infer.worker_id} on {infer.hive}"]
    return ", ".join(parts)
