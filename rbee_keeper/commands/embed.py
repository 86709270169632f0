"""`rbee embed`: texts as vectors."""

import asyncio
from collections.abc import Sequence
from typing import Annotated

import typer

from rbee.v1 import operation_pb2 as pb
from rbee_keeper import here, output, queen
from rbee_keeper.blocking import blocking
from rbee_keeper.display import opened_display
from rbee_keeper.follow import run_job
from rbee_keeper.lazy import SectionedCommand, verb
from rbee_keeper.options import Device, Hive, Json, Model, Timeout, Verbose, Voice
from rbee_keeper.prompt import read_stdin
from rbee_keeper.voice import chosen
from rbee_shared.errors import InvalidArgumentError
from rbee_shared.limits import EMBED_INPUTS_MAX

app = verb()

SHOWN = 8  # numbers of a vector, where people look at it
DIGITS = 9  # what a 32-bit number needs to be read back as it was


@app.command(cls=SectionedCommand)
@blocking
async def embed(
    model: Model,
    texts: Annotated[
        list[str] | None,
        typer.Argument(metavar="TEXT...", help="The texts; and each line of standard input."),
    ] = None,
    *,
    hive: Hive = "",
    device: Device = "",
    timeout_s: Timeout = None,
    as_json: Json = False,
    verbose: Verbose = False,
    mode: Voice = None,
) -> None:
    """Turn texts into vectors; a line each, with its size and first numbers. --json has all.

    Example: rbee embed smollm2 "a bee" "a wasp" --json
    """
    inputs = inputs_of(texts or (), await asyncio.to_thread(read_stdin))
    asked = pb.EmbedOperation(
        model=here.named(model, hive), inputs=inputs, hive=hive, device=device
    )
    with opened_display(as_json=False, verbose=verbose, mode=chosen(mode)) as display:
        async with queen.client(display) as client:
            operation = pb.Operation(embed=asked)
            result = await run_job(client, operation, display, timeout_s=timeout_s)
    if as_json:
        output.show_json(document_of(result.embed), indent=None)
        return
    for embedding in result.embed.embeddings:
        output.show_line(line_of(embedding.values))


def inputs_of(texts: Sequence[str], stdin: str) -> list[str]:
    """Return the texts of arguments and of the lines of standard input; empty lines are none.

    Raises:
        InvalidArgumentError: there is none, one that was named is empty, or there are too many.
    """
    inputs = [text for text in (*texts, *stdin.splitlines()) if text.strip()]
    if not inputs:
        raise InvalidArgumentError(
            "there is no text",
            reason="INPUTS_MALFORMED",
            hint='rbee embed MODEL "a text" "another", or pipe them in, one a line',
        )
    if not all(text.strip() for text in texts):  # left out, each vector would be another's
        raise InvalidArgumentError(
            "one of the texts is empty",
            reason="INPUTS_MALFORMED",
            hint="leave it out, or give it words",
        )
    if len(inputs) > EMBED_INPUTS_MAX:
        raise InvalidArgumentError(
            f"1 to {EMBED_INPUTS_MAX} texts are taken at once, these are {len(inputs)}",
            reason="INPUTS_MALFORMED",
            hint="send them in several parts: `split -l`",
        )
    return inputs


def line_of(values: Sequence[float]) -> str:
    """Return a vector in a line: its size, and its first numbers."""
    first = " ".join(f"{value:+.4f}" for value in values[:SHOWN])
    return f"{len(values)} numbers: {first}{' ...' if len(values) > SHOWN else ''}"


def document_of(result: pb.EmbedResult) -> dict[str, object]:
    """Return all numbers, and who made them."""
    return {
        "model": result.model,
        "hive": result.hive,
        "worker_id": result.worker_id,
        "prompt_tokens": result.usage.prompt_tokens,
        "embeddings": [
            [float(f"{value:.{DIGITS}g}") for value in each.values] for each in result.embeddings
        ],
    }
