"""`rbee worker ...` and `rbee ps`: the processes that serve models."""

import sys
from typing import Annotated

import typer

from rbee.v1 import operation_pb2 as pb
from rbee_keeper import here, output, queen
from rbee_keeper.blocking import blocking
from rbee_keeper.display import opened_display
from rbee_keeper.follow import run_job
from rbee_keeper.lazy import noun, verb
from rbee_keeper.options import (
    AnyHive,
    Device,
    Hive,
    Json,
    KeepAlive,
    Model,
    Timeout,
    Verbose,
    Voice,
    number,
)
from rbee_keeper.output import Column
from rbee_keeper.rows import worker_row
from rbee_keeper.voice import chosen
from rbee_shared.contracts import wire
from rbee_shared.narration.redact import clean_text

app = noun("Start, list and stop workers.")
ps_app, stop_app = verb(), verb()

WorkerId = Annotated[
    str, typer.Argument(metavar="WORKER", help="The worker's id, as `rbee ps` shows it.")
]
COLUMNS = (
    Column("ID", "id"),
    Column("MODEL", "name"),
    Column("HIVE", "hive"),
    Column("DEVICE", "device"),
    Column("STATE", "state"),
    Column("MEMORY", "memory_bytes", "bytes"),
    Column("CONTEXT", "context_length"),
    Column("RUN/SLOTS", "busy_slots"),
    Column("WAIT", "waiting"),
    Column("TOK/S", "tokens_per_second"),
    Column("KV%", "kv_cache_percent"),
)


@app.command("spawn")
@blocking
async def spawn(
    model: Model,
    *,
    hive: Hive = "",
    device: Device = "",
    cores: Annotated[
        int,
        typer.Option(parser=number(), metavar="N", help="Cores to grant; 0: all that are free."),
    ] = 0,
    context: Annotated[
        int,
        typer.Option(
            parser=number(), metavar="N", help="Tokens of context of each request; 0: the model's."
        ),
    ] = 0,
    slots: Annotated[
        int,
        typer.Option(
            parser=number(),
            metavar="N",
            help="Requests to answer at once, each with a context of its own; 0: what fits.",
        ),
    ] = 0,
    keep_alive: KeepAlive = None,
    timeout_s: Timeout = None,
    as_json: Json = False,
    verbose: Verbose = False,
    mode: Voice = None,
) -> None:
    """Start a worker and wait until it takes requests; fetches the model where needed.

    Example: rbee worker spawn smollm2 --device cpu:0 --slots 8
    """
    asked = pb.WorkerSpawnOperation(
        model=here.named(model, hive),
        hive=hive,
        device=device,
        cores=cores,
        context_length=context,
        slots=slots,
    )
    if keep_alive is not None:
        asked.keep_alive.CopyFrom(wire.duration(keep_alive))
    with opened_display(as_json=False, verbose=verbose, mode=chosen(mode)) as display:
        async with queen.client(display) as client:
            operation = pb.Operation(worker_spawn=asked)
            result = await run_job(client, operation, display, timeout_s=timeout_s)
    worker = result.worker_spawn.worker
    if as_json:
        output.show_json(worker_row(worker))
        return
    sys.stdout.write(worker.id + "\n")


@app.command("list")
@app.command("ls", hidden=True)
@ps_app.command()
@blocking
async def list_workers(hive: AnyHive = "", as_json: Json = False) -> None:
    """List the workers, and how busy they are.

    Example: rbee ps
    """
    async with queen.client() as client:
        asked = pb.Operation(worker_list=pb.WorkerListOperation(hive=hive))
        workers = (await client.call(asked)).worker_list.workers
    rows = [
        {
            "name": each.alias or each.model,
            "busy_slots": f"{each.load.running}/{each.load.slots}",
            **worker_row(each),
        }
        for each in workers
    ]
    output.show_table(COLUMNS, rows, as_json=as_json)


@app.command("show")
@blocking
async def show(worker_id: WorkerId, hive: AnyHive = "", as_json: Json = False) -> None:
    """Show all that is known of a worker.

    Example: rbee worker show w-3f9a2c
    """
    async with queen.client() as client:
        asked = pb.WorkerGetOperation(worker_id=worker_id, hive=hive)
        worker = (await client.call(pb.Operation(worker_get=asked))).worker_get.worker
    output.show_facts(worker_row(worker), as_json=as_json)


@app.command("rm")
@app.command("stop", hidden=True)
@stop_app.command()
@blocking
async def remove(
    worker_id: WorkerId,
    hive: AnyHive = "",
    force: Annotated[
        bool, typer.Option("--force", help="Do not wait for what it is doing.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Stop a worker; it ends what it is doing first.

    Example: rbee worker rm w-3f9a2c
    """
    async with queen.client() as client:
        asked = pb.WorkerDeleteOperation(worker_id=worker_id, hive=hive, force=force)
        worker = (await client.call(pb.Operation(worker_delete=asked))).worker_delete.worker
    if as_json:
        output.show_json(worker_row(worker))
        return
    output.say(f"stopped {worker.id}")


@app.command("logs")
@blocking
async def logs(
    worker_id: WorkerId,
    hive: AnyHive = "",
    lines: Annotated[
        int,
        typer.Option(
            "--lines", "-n", parser=number(), metavar="N", help="The newest lines; 0: all kept."
        ),
    ] = 100,
    as_json: Json = False,
) -> None:
    """Show what a worker's process wrote.

    Example: rbee worker logs w-3f9a2c -n 20
    """
    async with queen.client() as client:
        asked = pb.WorkerLogsOperation(worker_id=worker_id, hive=hive, line_count_max=lines)
        found = (await client.call(pb.Operation(worker_logs=asked))).worker_logs.lines
    if as_json:
        output.show_json(list(found))
        return
    for line in found:
        sys.stdout.write(clean_text(line) + "\n")
