"""`rbee model ...`: the models on the hives."""

from typing import Annotated

import typer

from rbee.v1 import operation_pb2 as pb
from rbee_keeper import here, output, queen, units
from rbee_keeper.blocking import blocking
from rbee_keeper.commands.pull import FITS, pull
from rbee_keeper.commands.upkeep import ModelsDamagedError, import_model, prune, verify
from rbee_keeper.lazy import noun, verb
from rbee_keeper.model_rows import (
    file_row,
    fit_row,
    identity,
    listed,
    model_row,
    name_of,
    origin,
)
from rbee_keeper.options import AnyHive, Json, Model, StoreHive
from rbee_keeper.output import Column

app = noun("Fetch, list, check and remove models.")
list_app, show_app, rm_app = (verb() for _ in range(3))

COLUMNS = (
    Column("NAME", "name"),
    Column("REFERENCE", "reference"),
    Column("HIVE", "hive"),
    Column("QUANTIZATION", "quantization"),
    Column("CONTEXT", "context_length"),
    Column("SIZE", "size_bytes", "bytes"),
    Column("REVISION", "revision"),
    Column("STATE", "state"),
)
FILES = (
    Column("FILE", "path"),
    Column("SIZE", "size_bytes", "bytes"),
    Column("SHA-256", "sha256"),
)

app.command("pull")(pull)


@app.command("list")
@app.command("ls", hidden=True)
@list_app.command()
@blocking
async def list_models(hive: AnyHive = "", as_json: Json = False) -> None:
    """List the models on disk.

    Example: rbee model list --json
    """
    async with queen.client() as client:
        asked = pb.Operation(model_list=pb.ModelListOperation(hive=hive))
        result = (await client.call(asked)).model_list
    rows = [{"name": name_of(model), **model_row(model)} for model in result.models]
    output.show_table(COLUMNS, rows if as_json else [*map(listed, rows)], as_json=as_json)
    for fault in result.faults:
        output.say(f"warning: {fault.reference}: {fault.message}")
    if result.faults:
        output.say(f"hint: {ModelsDamagedError.hint}")


@app.command("show")
@show_app.command()
@blocking
async def show(model: Model, hive: AnyHive = "", as_json: Json = False) -> None:
    """Show all that is known of a model, its files included.

    Example: rbee model show smollm2
    """
    asked = pb.ModelGetOperation(model=here.named(model, hive), hive=hive)
    async with queen.client() as client:
        result = (await client.call(pb.Operation(model_get=asked))).model_get
    found = result.model
    fits = [fit_row(fit) for fit in result.fits]
    files = [file_row(file) for file in found.files]
    if as_json:
        output.show_json({**model_row(found), "fits": fits, "files": files})
        return
    parameters = found.parameter_count or None
    output.show_facts({**identity(found), "parameters": parameters}, as_json=False)
    output.show_gap()
    output.show_facts(origin(found), as_json=False)
    output.show_gap()
    needed = {
        "size_bytes": found.size_bytes,
        "required_memory_bytes": found.required_memory_bytes,
        "memory_per_token_bytes": found.kv_bytes_per_token,
    }
    output.show_facts(needed, as_json=False)
    output.show_gap()
    output.show_table(FITS, fits, as_json=False)
    output.show_gap()
    output.show_table(FILES, files, as_json=False)


@app.command("rm")
@rm_app.command()
@blocking
async def remove(
    model: Model,
    hive: StoreHive = "",
    force: Annotated[
        bool,
        typer.Option(
            "--force",
            help="Let the workers that use it end their answers and stop, then remove it.",
        ),
    ] = False,
    as_json: Json = False,
) -> None:
    """Remove every file of a model; refused while a worker uses it.

    Example: rbee model rm smollm2
    """
    async with queen.client() as client:
        asked = pb.ModelDeleteOperation(model=here.named(model, hive), hive=hive, force=force)
        result = (await client.call(pb.Operation(model_delete=asked))).model_delete
    if as_json:
        output.show_json({"reference": result.reference, "freed_bytes": result.freed_bytes})
        return
    output.say(f"removed {result.reference} ({units.size(result.freed_bytes)})")


app.command("verify")(verify)
app.command("prune")(prune)
app.command("import")(import_model)
