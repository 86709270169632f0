"""`rbee model pull`: have a model here, or see what that would take."""

from typing import Annotated

import typer

from rbee.v1 import model_pb2, operation_pb2 as pb
from rbee_keeper import here, output, queen, units
from rbee_keeper.blocking import blocking
from rbee_keeper.display import opened_display
from rbee_keeper.follow import run_job
from rbee_keeper.lazy import verb
from rbee_keeper.model_rows import fit_row
from rbee_keeper.options import Json, Model, StoreHive, Timeout, Verbose, Voice, Weights, parse_rate
from rbee_keeper.output import Column
from rbee_keeper.plans import plan_document, plan_facts, problems, shown_choices
from rbee_keeper.voice import chosen

app = verb()

CHOICES = (
    Column("", "mark"),
    Column("FILE", "path"),
    Column("SIZE", "size_bytes", "bytes"),
    Column("WHY", "reason"),
)
FITS = (
    Column("DEVICE", "device"),
    Column("NEEDS", "required_memory_bytes", "bytes"),
    Column("FREE", "free_memory_bytes", "bytes"),
    Column("FITS", "fits"),
)


@app.command()
@blocking
async def pull(
    model: Model,
    *,
    file: Annotated[
        str,
        typer.Option(metavar="PATH", help="The file to take of a repository with many."),
    ] = "",
    quant: Annotated[
        str,
        typer.Option(
            metavar="NAME", help="The quantisation to take: Q8_0, Q4_K_M; q4, fp16 for ONNX."
        ),
    ] = "",
    weights: Weights = None,
    rate_bytes_max: Annotated[
        int | None,
        typer.Option(
            "--max-rate",
            parser=parse_rate,
            metavar="RATE",
            help="The most bytes a second: 500K, 10M, 1.5GiB; 0: no limit.",
        ),
    ] = None,
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run", help="Show what would be fetched and whether it fits; fetch nothing."
        ),
    ] = False,
    hive: StoreHive = "",
    timeout_s: Timeout = None,
    as_json: Json = False,
    verbose: Verbose = False,
    mode: Voice = None,
) -> None:
    """Fetch a model, verify it, and convert it where needed. Done already: done at once.

    Goes on where a broken pull ended. Of many files it takes what loses least: see --dry-run.

    Example: rbee model pull Qwen/Qwen3-0.6B-GGUF --quant Q8_0 --dry-run
    """
    asked = pb.ModelDownloadOperation(
        model=here.named(model, hive),
        hive=hive,
        file=file,
        quantization=quant,
        dry_run=dry_run,
        rate_bytes_max=rate_bytes_max or 0,
        weights=weights or "",
    )
    events_as_json = as_json and not dry_run  # a plan is one document
    with opened_display(as_json=events_as_json, verbose=verbose, mode=chosen(mode)) as display:
        async with queen.client(display) as client:
            operation = pb.Operation(model_download=asked)
            result = await run_job(client, operation, display, timeout_s=timeout_s)
    found = result.model_download
    if dry_run:
        _show_plan(found.plan, as_json=as_json)
    elif not as_json:
        size = units.size(found.model.size_bytes)
        how = "is here already" if found.was_present else "is here now"
        output.say(f"{found.model.alias or found.model.reference} {how} ({size})")


def _show_plan(plan: model_pb2.DownloadPlan, *, as_json: bool) -> None:
    if as_json:
        output.show_json(plan_document(plan))
        return
    rows, more = shown_choices(plan)
    if rows:
        output.show_table(CHOICES, rows, as_json=False)
    if more:
        output.show_line(f"  and {more} more; `--json` has all")
    if rows:
        output.show_gap()
    output.show_facts(plan_facts(plan), as_json=False)
    if plan.fits:
        output.show_gap()
        output.show_table(FITS, [fit_row(fit) for fit in plan.fits], as_json=False)
    for problem in problems(plan):
        output.say(f"warning: {problem}")
