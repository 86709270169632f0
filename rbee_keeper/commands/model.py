"""`rbee model ...`: models on the hives."""

from typing import Annotated

import typer

from rbee.v1 import operation_pb2 as pb
from rbee_keeper import output, queen, units
from rbee_keeper.blocking import blocking
from rbee_keeper.display import opened_display
from rbee_keeper.follow import run_job
from rbee_keeper.lazy import noun, verb
from rbee_keeper.options import Hive, Json, Model, Timeout, Verbose, Voice
from rbee_keeper.output import Column
from rbee_keeper.rows import model_row
from rbee_keeper.voice import chosen

app = noun("Fetch, list and remove models.")
pull_app, list_app, show_app, rm_app = (verb() for _ in range(4))

COLUMNS = (
    Column("MODEL", "name"),
    Column("REFERENCE", "reference"),
    Column("HIVE", "hive"),
    Column("QUANTIZATION", "quantization"),
    Column("CONTEXT", "context_length"),
    Column("SIZE", "size_bytes", "bytes"),
)


@app.command("pull")
@pull_app.command()
@blocking
async def pull(
    model: Model,
    *,
    hive: Hive = "",
    timeout_s: Timeout = None,
    as_json: Json = False,
    verbose: Verbose = False,
    mode: Voice = None,
) -> None:
    """Fetch a model, verify it, and convert it where needed. Done already: done at once.

    Example: rbee model pull smollm2
    """
    operation = pb.Operation(model_download=pb.ModelDownloadOperation(model=model, hive=hive))
    with opened_display(as_json=as_json, verbose=verbose, mode=chosen(mode)) as display:
        async with queen.client(display) as client:
            result = await run_job(client, operation, display, timeout_s=timeout_s)
    found = result.model_download
    if not as_json:
        size = units.size(found.model.size_bytes)
        how = "is here already" if found.was_present else "is here now"
        output.say(f"{found.model.alias or found.model.reference} {how} ({size})")


@app.command("list")
@app.command("ls", hidden=True)
@list_app.command()
@blocking
async def list_models(hive: Hive = "", as_json: Json = False) -> None:
    """List the models on disk.

    Example: rbee model list --json
    """
    async with queen.client() as client:
        asked = pb.Operation(model_list=pb.ModelListOperation(hive=hive))
        result = (await client.call(asked)).model_list
    rows = [
        {"name": model.alias or model.reference.rpartition("/")[2], **model_row(model)}
        for model in result.models
    ]
    output.show_table(COLUMNS, rows, as_json=as_json)
    for fault in result.faults:
        output.say(f"warning: {fault.reference}: {fault.message}")


@app.command("show")
@show_app.command()
@blocking
async def show(model: Model, hive: Hive = "", as_json: Json = False) -> None:
    """Show all that is known of a model, its files included.

    Example: rbee model show smollm2
    """
    async with queen.client() as client:
        asked = pb.Operation(model_get=pb.ModelGetOperation(model=model, hive=hive))
        found = (await client.call(asked)).model_get.model
    files = [
        {"path": file.path, "size_bytes": file.size_bytes, "sha256": file.sha256}
        for file in found.files
    ]
    if as_json:
        output.show_json({**model_row(found), "files": files})
        return
    output.show_facts(model_row(found), as_json=False)
    output.show_gap()
    columns = (Column("FILE", "path"), Column("SIZE", "size_bytes", "bytes"))
    output.show_table((*columns, Column("SHA-256", "sha256")), files, as_json=False)


@app.command("rm")
@rm_app.command()
@blocking
async def remove(
    model: Model,
    hive: Hive = "",
    force: Annotated[bool, typer.Option("--force", help="Stop the workers that use it.")] = False,
    as_json: Json = False,
) -> None:
    """Remove every file of a model; refused while a worker uses it.

    Example: rbee model rm smollm2
    """
    async with queen.client() as client:
        asked = pb.ModelDeleteOperation(model=model, hive=hive, force=force)
        result = (await client.call(pb.Operation(model_delete=asked))).model_delete
    if as_json:
        output.show_json({"reference": result.reference, "freed_bytes": result.freed_bytes})
        return
    output.say(f"removed {result.reference} ({units.size(result.freed_bytes)})")
